import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { addCreateOptions, type CreateOptions, createRequest } from "./create-options.ts";
import { exitCodeOf, exitCodes } from "./exit-codes.ts";
import { type GlobalOptions, type Session, withSession } from "./session.ts";
import { showOperation } from "./show-operation.ts";

/** How long `run` waits for a server that went away, in milliseconds. */
const patienceMs = 60_000;

/** Adds `run` and `watch`. */
export function addWatchCommands(program: Command): void {
  addCreateOptions(program.command("run <type>"))
    .description("create an operation and watch it; Ctrl+C cancels it, a second one leaves")
    .action(async (operationType: string, options: CreateOptions, command: Command) => {
      process.exitCode = await withSession(command.optsWithGlobals<GlobalOptions>(), (session) =>
        run(session, operationType, options),
      );
    });
  program
    .command("watch <operation-id>")
    .description("watch an operation to its end; Ctrl+C leaves it running")
    .action(async (operationId: string, _: unknown, command: Command) => {
      process.exitCode = await withSession(command.optsWithGlobals<GlobalOptions>(), (session) =>
        watch(session, operationId),
      );
    });
}

async function run(session: Session, operationType: string, options: CreateOptions): Promise<number> {
  const request = createRequest(operationType, options);
  // With a request id of its own, a create that is sent again makes one operation.
  const requestId = request.requestId || randomUUID();
  const { operation } = await session.client.rpc.createOperation({ ...request, requestId });
  if (!operation) {
    throw new Error("the server answered without an operation");
  }
  const leave = new AbortController();
  const uninstall = onInterrupt((count) => {
    if (count > 1) {
      leave.abort();
      return;
    }
    process.stderr.write("cancelling; press Ctrl+C again to leave\n");
    void cancel(session, operation.operationId);
  });
  try {
    return ended(await showOperation(session, operation.operationId, { signal: leave.signal, retryForMs: patienceMs }));
  } finally {
    uninstall();
  }
}

async function watch(session: Session, operationId: string): Promise<number> {
  const leave = new AbortController();
  const uninstall = onInterrupt(() => leave.abort());
  try {
    const operation = await showOperation(session, operationId, { signal: leave.signal, retryForMs: 0 });
    if (!operation) {
      process.stderr.write(`the operation goes on; "longhaul cancel ${operationId}" stops it\n`);
      return exitCodes.ok;
    }
    return ended(operation);
  } finally {
    uninstall();
  }
}

function ended(operation: OperationInfo | undefined): number {
  return operation ? exitCodeOf(operation.status) : exitCodes.cancelled;
}

async function cancel({ client }: Session, operationId: string): Promise<void> {
  try {
    await client.rpc.cancelOperation({ operationId, reason: "interrupted at the terminal" });
  } catch (error) {
    process.stderr.write(
      `the cancellation did not reach the server: ${error instanceof Error ? error.message : error}\n`,
    );
  }
}

/** Calls the listener at each Ctrl+C with how many there were. */
function onInterrupt(listener: (count: number) => void): () => void {
  let count = 0;
  const handle = () => {
    count += 1;
    listener(count);
  };
  process.on("SIGINT", handle);
  return () => process.off("SIGINT", handle);
}
