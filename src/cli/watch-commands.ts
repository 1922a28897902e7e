import type { Command } from "commander";
import { addCreateOptions, type CreateOptions, createRequest } from "./create-options.ts";
import { exitCodeOf, exitCodes } from "./exit-codes.ts";
import { describeError } from "./report-error.ts";
import { connectPatienceMs, type GlobalOptions, patienceMs, type Session, withSession } from "./session.ts";
import { showOperation } from "./show-operation.ts";

const cancelReason = "interrupted at the terminal";

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
  const leave = new AbortController();
  let operationId: string | undefined;
  let cancelling = false;
  let notice = "";
  const say = (text: string) => {
    notice = text;
    if (session.json || operationId === undefined) {
      process.stderr.write(`${text}\n`);
    }
  };
  const cancel = async (id: string) => {
    try {
      await session.client.cancel(id, cancelReason, { signal: leave.signal, retryForMs: patienceMs });
    } catch (error) {
      say(`the cancellation failed: ${describeError(error)}`);
    }
  };
  const uninstall = onInterrupt((count) => {
    if (count > 1) {
      leave.abort();
      return;
    }
    cancelling = true;
    say("cancelling; press Ctrl+C again to leave");
    if (operationId !== undefined) {
      void cancel(operationId);
    }
  });
  try {
    const created = await session.client.create(request, { signal: leave.signal, retryForMs: connectPatienceMs });
    operationId = created?.operationId;
    if (operationId === undefined) {
      process.stderr.write("left before the server answered; the operation may have been created\n");
      return exitCodes.interrupted;
    }
    if (cancelling) {
      void cancel(operationId);
    }
    const ended = await showOperation(session, operationId, { signal: leave.signal, notice: () => notice });
    if (!ended) {
      process.stderr.write(`${goesOn(operationId)}\n`);
      return exitCodes.interrupted;
    }
    return exitCodeOf(ended.status);
  } finally {
    // A cancellation that is still being tried has nothing left to do.
    leave.abort();
    uninstall();
  }
}

async function watch(session: Session, operationId: string): Promise<number> {
  const leave = new AbortController();
  const uninstall = onInterrupt(() => leave.abort());
  try {
    // A server that is not there, or does not know the operation, is told at once; later there is patience.
    await session.client.get(operationId, { signal: leave.signal, retryForMs: connectPatienceMs });
    const ended = await showOperation(session, operationId, { signal: leave.signal, notice: () => "" });
    if (!ended) {
      process.stderr.write(`${goesOn(operationId)}\n`);
      return exitCodes.ok;
    }
    return exitCodeOf(ended.status);
  } finally {
    uninstall();
  }
}

function goesOn(operationId: string): string {
  return `left; "longhaul watch ${operationId}" goes on watching, "longhaul cancel ${operationId} --reason …" stops it`;
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
