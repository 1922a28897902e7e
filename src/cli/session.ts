import { createRegistry, type JsonValue, toJson } from "@bufbuild/protobuf";
import { file_google_protobuf_struct, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { type OperationInfo, OperationInfoSchema } from "../../gen/longhaul/v1/operation_pb.ts";
import { createGrpcJsTransport, type GrpcTransport } from "../client/grpc-transport.ts";
import { PollingClient } from "../client/polling-client.ts";
import { resolveConfig } from "../config.ts";

/** Options that every command has. */
export interface GlobalOptions {
  readonly server?: string;
  readonly json?: boolean;
  readonly config?: string;
}

/** What a client command works with. */
export interface Session {
  readonly client: PollingClient;
  readonly transport: GrpcTransport;
  readonly url: string;
  /** Write JSON lines rather than text for people. */
  readonly json: boolean;
}

/** Types whose Any can be shown as JSON. */
export const anyTypes = createRegistry(
  file_google_rpc_error_details,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
);

/** Runs a client command against the configured server and closes the connection after it. */
export async function withSession<T>(options: GlobalOptions, run: (session: Session) => Promise<T>): Promise<T> {
  const config = resolveConfig({
    flags: { server: options.server },
    ...(options.config !== undefined && { file: options.config }),
  });
  const transport = createGrpcJsTransport({ baseUrl: config.server, maxReceiveBytes: 16 * 1024 * 1024 });
  try {
    const json = options.json ?? !process.stdout.isTTY;
    return await run({ client: new PollingClient(transport), transport, url: config.server, json });
  } finally {
    transport.close();
  }
}

/** Writes one line of JSON. */
export function writeJson(value: JsonValue): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Writes an operation as one line of JSON. */
export function writeOperation(operation: OperationInfo): void {
  writeJson(toJson(OperationInfoSchema, operation, { registry: anyTypes }));
}
