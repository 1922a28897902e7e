import type { JsonValue } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { GrpcTransport } from "../client/grpc-transport.ts";
import { PollingClient } from "../client/polling-client.ts";
import { isUnreachable } from "../client/retry.ts";
import { resolveConfig } from "../config.ts";
import { operationJson } from "./message-json.ts";
import type { Screen } from "./render-operation.ts";
import { UnreachableError } from "./report-error.ts";

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

/** How long a command waits for a server that is not there yet, in milliseconds. */
export const connectPatienceMs = 2_000;
/** How long a command that watches waits for a server that went away, in milliseconds. */
export const patienceMs = 60_000;

/** A watch may outlive a credential; what becomes of the file shows in the server's answers. */
const fileLog = { info: () => {}, error: () => {} };

/**
 * Runs a client command against the configured server and closes the connection after it.
 * Throws an UnreachableError that names the server when it cannot be reached.
 */
export async function withSession<T>(options: GlobalOptions, run: (session: Session) => Promise<T>): Promise<T> {
  const config = resolveConfig({
    flags: { server: options.server },
    ...(options.config !== undefined && { file: options.config }),
  });
  // Loaded where a server is called: `serve` starts without them.
  const { createClientCredentials } = await import("../client/client-credentials.ts");
  const { createGrpcJsTransport } = await import("../client/grpc-transport.ts");
  const transport = createGrpcJsTransport({
    baseUrl: config.server,
    maxReceiveBytes: 16 * 1024 * 1024,
    credentials: createClientCredentials(config, fileLog),
  });
  try {
    const json = options.json ?? !process.stdout.isTTY;
    return await run({ client: new PollingClient(transport), transport, url: config.server, json });
  } catch (error) {
    throw error instanceof ConnectError && isUnreachable(error) ? new UnreachableError(config.server, error) : error;
  } finally {
    transport.close();
  }
}

/** What standard output can show. NO_COLOR and TERM=dumb are honoured. */
export function currentScreen(): Screen {
  return { width: process.stdout.columns || 80, color: process.stdout.hasColors?.() ?? false };
}

/** Writes lines of text. */
export function writeLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

/** Writes one line of JSON. */
export function writeJson(value: JsonValue): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Writes an operation as one line of JSON. */
export function writeOperation(operation: OperationInfo): void {
  writeJson(operationJson(operation));
}
