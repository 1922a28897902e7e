import { createClient } from "@connectrpc/connect";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";
import { randomFrom } from "../support/random.ts";
import { frame, frameFlag, frameType } from "./http2-frames.ts";
import { createMutator } from "./mutated-requests.ts";
import { rawHttp2Client } from "./raw-client.ts";

/** What to send. */
export interface MutationRun {
  readonly url: string;
  /** The same seed makes the same requests, though not in the same order on the wire. */
  readonly seed: number;
  readonly requests: number;
  /** Sends the requests as they are, so that the server does what it is for. Default false. */
  readonly isValid?: boolean;
  /** Is told of how far it has come, now and then. Default: nobody is. */
  readonly onProgress?: (result: MutationResult) => void;
}

/** What came of it. */
export interface MutationResult {
  /** Streams that the server has answered with an end. */
  readonly answered: number;
  /** Streams that it has reset. */
  readonly reset: number;
  /** Streams that were open when their connection ended. */
  readonly lost: number;
  readonly connections: number;
}

const connectionsAtOnce = 2;
/** Below the server's limit, so that nothing is refused for being too much. */
const streamsAtOnce = 50;
/** Then a connection is made anew: the server ends one that has been wrong too often. */
const streamsPerConnection = 5_000;
/** Flow control is given back after as many bytes. */
const windowStep = 1 << 20;
/** Requests between two reports. */
const progressStep = 50_000;

/** Sends mutated requests, many at once, until all have been sent and answered. */
export async function sendMutatedRequests(run: MutationRun): Promise<MutationResult> {
  const { url, seed, requests, isValid = false, onProgress } = run;
  const transport = createGrpcJsTransport({ baseUrl: url });
  const { operation } = await createClient(OperationsService, transport).createOperation({ operationType: "training" });
  transport.close();
  const nextRequest = createMutator(operation?.operationId ?? "", randomFrom(seed), isValid);
  const port = Number(new URL(url).port);
  const result = { answered: 0, reset: 0, lost: 0, connections: 0 };
  let left = requests;

  const useConnection = async (): Promise<void> => {
    const open = new Set<number>();
    let received = 0;
    let stream = -1;
    let wake = () => {};
    const client = await rawHttp2Client(port, ({ type, flags, stream: of, payload }) => {
      if (type === frameType.rstStream) {
        result.reset += open.delete(of) ? 1 : 0;
      } else if ((type === frameType.headers || type === frameType.data) && (flags & frameFlag.endStream) !== 0) {
        result.answered += open.delete(of) ? 1 : 0;
      } else if (type === frameType.settings && (flags & frameFlag.ack) === 0) {
        void client.send(frame(frameType.settings, frameFlag.ack, 0));
      } else if (type === frameType.goaway) {
        client.socket.end();
      }
      received += type === frameType.data ? payload.length : 0;
      if (received >= windowStep) {
        const update = Buffer.alloc(4);
        update.writeUInt32BE(received);
        received = 0;
        void client.send(frame(frameType.windowUpdate, 0, 0, update));
      }
      wake();
    });
    result.connections += 1;
    void client.closed.then(() => wake());
    const woken = () =>
      new Promise<void>((resolve) => {
        wake = resolve;
      });
    while (left > 0 && stream < 2 * streamsPerConnection && client.socket.writable) {
      if (open.size >= streamsAtOnce) {
        await woken();
        continue;
      }
      left -= 1;
      if (left % progressStep === 0) {
        onProgress?.(result);
      }
      stream += 2;
      open.add(stream);
      await client.send(nextRequest()(stream));
    }
    while (open.size > 0 && !client.socket.destroyed) {
      await woken();
    }
    result.lost += open.size;
    client.socket.destroy();
  };

  const useConnections = async () => {
    while (left > 0) {
      await useConnection();
    }
  };
  await Promise.all(Array.from({ length: connectionsAtOnce }, useConnections));
  return result;
}
