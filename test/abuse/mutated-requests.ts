import { create, type DescMessage, type MessageInitShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { frame, frameFlag, frameType, grpcHeaders, grpcMessage, headerBlock } from "./http2-frames.ts";

/** A request that was valid before it was changed: the frames of one stream. */
export type MutatedRequest = (stream: number) => Buffer;

const { service, methods } = { service: OperationsService.typeName, methods: OperationsService.method };

/**
 * A valid request of every method. The creates name one operation, so that not every one of them makes another, and say
 * nothing that the operation itself obeys: how much it does is not what is tried here.
 */
const samples: Readonly<Record<keyof typeof methods, (operationId: string) => object>> = {
  createOperation: () => ({
    operationType: "training",
    operationName: "a name",
    requestId: "the one",
    labels: { team: "alpha", run: "7" },
    metadata: { symbol: "AAPL", timeframe: "1d", parameters: { alpha: 3, list: [1, "two", null, { deep: [true] }] } },
    phases: [{ name: "first", fromPercentage: 0, toPercentage: 40 }],
    totalSteps: 10n,
    retention: { seconds: 60n },
    executionTimeout: { seconds: 5n },
  }),
  getOperation: (operationId) => ({ operationId, maxStaleness: { seconds: 1n }, knownRevision: 3n }),
  batchGetOperations: (operationId) => ({ operations: [{ operationId }, { operationId, knownRevision: 1n }] }),
  waitOperation: (operationId) => ({ operationId, knownRevision: 1n, timeout: { nanos: 1_000_000 } }),
  listOperations: () => ({
    filter: { operationTypes: ["training"], statuses: [OperationStatus.RUNNING], labels: { team: "alpha" } },
    pageSize: 10,
    pageToken: "bm90IG9uZQ",
  }),
  countOperations: () => ({ filter: { createdAfter: { seconds: 1_700_000_000n } } }),
  cancelOperation: (operationId) => ({ operationId, reason: "because" }),
  cancelOperations: () => ({ filter: { labels: { team: "nobody" } }, reason: "because" }),
  retryOperation: (operationId) => ({ operationId, requestId: "again" }),
  deleteOperation: () => ({ operationId: "op_training_20260101_000000_abcdef" }),
  getMetrics: (operationId) => ({ operationId, cursor: 1n, maxRecords: 100 }),
};

/** Lengths and values at the edges of what encodings can say. */
const extremes = [0, 1, 0x7f, 0x80, 0xff];

/**
 * Makes requests that follow from `random` alone: a message, its frame, its headers or its path is wrong, or none; with
 * `isValid` none of any.
 */
export function createMutator(operationId: string, random: () => number, isValid = false): () => MutatedRequest {
  const below = (limit: number) => Math.floor(random() * limit);
  const oneOf = <T>(values: readonly T[]) => values[below(values.length)] as T;
  const valid = Object.entries(samples).map(([name, sample]) => {
    const { name: method } = methods[name as keyof typeof methods];
    const input: DescMessage = methods[name as keyof typeof methods].input;
    const message = create(input, sample(operationId) as MessageInitShape<DescMessage>);
    const json = Buffer.from(toJsonString(input, message));
    return { path: `/${service}/${method}`, binary: Buffer.from(toBinary(input, message)), json };
  });

  const mutated = (bytes: Buffer): Buffer => {
    let result = Buffer.from(bytes);
    for (let left = 1 + below(4); left > 0; left--) {
      const at = below(result.length + 1);
      const to = at + below(result.length - at + 1);
      switch (below(6)) {
        case 0:
          result[at] = (result[at] ?? 0) ^ (1 << below(8));
          break;
        case 1:
          result[at] = oneOf(extremes);
          break;
        case 2:
          result = Buffer.concat([result.subarray(0, at), result.subarray(to)]);
          break;
        case 3:
          result = Buffer.concat([result.subarray(0, to), result.subarray(at)]);
          break;
        case 4: {
          const noise = Buffer.from(Array.from({ length: 1 + below(8) }, () => below(256)));
          result = Buffer.concat([result.subarray(0, at), noise, result.subarray(at)]);
          break;
        }
        default:
          result = result.subarray(0, at);
      }
    }
    return result;
  };

  const wrongHeaders = (headers: Record<string, string>): Record<string, string> => {
    const wrong = { ...headers };
    switch (below(7)) {
      case 0:
        wrong["grpc-timeout"] = oneOf(["1n", "0S", "99999999H", "-1S", "1", "S", "1x", "123456789S"]);
        break;
      case 1:
        wrong["grpc-encoding"] = oneOf(["gzip", "br", "none", "identity", "\u00ff"]);
        break;
      case 2:
        wrong["content-type"] = oneOf([
          "application/grpc+json",
          "application/grpc-web",
          "application/connect+proto",
          "text/html",
          "",
        ]);
        break;
      case 3:
        wrong[":path"] = mutated(Buffer.from(headers[":path"] ?? ""))
          .toString("latin1")
          .replaceAll(/[^!-~]/g, "?");
        break;
      case 4:
        delete wrong[oneOf([":authority", "te", "content-type"])];
        break;
      case 5:
        wrong[":authority"] = oneOf(["", " ", "a b", "[::1", "a:b:c", "%", "\u00e4"]);
        break;
      default:
        wrong[oneOf(["traceparent", "longhaul-via", "longhaul-owner", "connect-timeout-ms", "authorization"])] =
          mutated(Buffer.from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
            .toString("latin1")
            .replaceAll(/[^ -~]/g, "?");
    }
    return wrong;
  };

  return () => {
    const { path, binary, json } = oneOf(valid);
    const isJson = below(4) === 0;
    const kind = isValid ? 9 : below(10);
    let headers = grpcHeaders(path, isJson ? { "content-type": "application/json" } : {});
    let body = isJson ? json : grpcMessage(binary);
    if (kind < 6) {
      body = isJson ? mutated(json) : grpcMessage(mutated(binary), below(50) === 0);
    } else if (kind < 8) {
      body = mutated(body);
    } else if (kind < 9) {
      headers = wrongHeaders(headers);
    }
    const block = headerBlock(headers);
    return (stream) =>
      Buffer.concat([
        frame(frameType.headers, frameFlag.endHeaders, stream, block),
        frame(frameType.data, frameFlag.endStream, stream, body),
      ]);
  };
}
