import type { Command } from "commander";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  addCreateOptions,
  type CreateOptions,
  collect,
  createRequest,
  keyValue,
  wholeNumber,
} from "./create-options.ts";
import { operationTable } from "./operation-table.ts";
import { renderOperation } from "./render-operation.ts";
import { UsageError } from "./report-error.ts";
import {
  currentScreen,
  type GlobalOptions,
  type Session,
  withSession,
  writeJson,
  writeLines,
  writeOperation,
} from "./session.ts";

interface ListOptions {
  readonly type?: readonly string[];
  readonly status?: readonly string[];
  readonly label?: readonly string[];
  readonly parent?: string;
  readonly limit?: string;
  readonly pageToken?: string;
}

/** Adds the commands that are one call each: create, get, list, cancel, retry and delete. */
export function addOperationCommands(program: Command): void {
  addCreateOptions(program.command("create <type>"))
    .description("create an operation")
    .action((type: string, options: CreateOptions, command: Command) =>
      one(command, async ({ client }) => (await client.rpc.createOperation(createRequest(type, options))).operation),
    );
  program
    .command("get <operation-id>")
    .description("show an operation")
    .action((operationId: string, _: unknown, command: Command) =>
      one(command, async ({ client }) => (await client.rpc.getOperation({ operationId })).operation),
    );
  program
    .command("cancel <operation-id>")
    .description("ask an operation and its children to stop")
    .requiredOption("--reason <text>", "why, for those who will wonder")
    .option("--force", "settle it now, without waiting for the work to stop")
    .action((operationId: string, options: { reason: string; force?: boolean }, command: Command) =>
      one(command, async ({ client }) => (await client.rpc.cancelOperation({ operationId, ...options })).operation),
    );
  program
    .command("retry <operation-id>")
    .description("run a failed or cancelled operation again, as a new one")
    .option("--request-id <id>", "makes the command safe to repeat")
    .action((operationId: string, options: { requestId?: string }, command: Command) =>
      one(command, async ({ client }) => (await client.rpc.retryOperation({ operationId, ...options })).operation),
    );
  program
    .command("delete <operation-id>")
    .description("remove the record of an operation that has ended")
    .action((operationId: string, _: unknown, command: Command) =>
      withSession(command.optsWithGlobals<GlobalOptions>(), async ({ client, json }) => {
        await client.rpc.deleteOperation({ operationId });
        if (json) {
          writeJson({ deleted: operationId });
        } else {
          writeLines([`${operationId} deleted`]);
        }
      }),
    );
  program
    .command("list")
    .description("list operations, newest first")
    .option("--type <type>", "only this type (repeatable)", collect)
    .option("--status <status>", "only this status, such as running (repeatable)", collect)
    .option("--label <key=value>", "only with this label (repeatable)", collect)
    .option("--parent <id>", "only children of this operation")
    .option("--limit <n>", "at most this many", "50")
    .option("--page-token <token>", "go on where a list ended")
    .action((options: ListOptions, command: Command) =>
      withSession(command.optsWithGlobals<GlobalOptions>(), (session) => list(session, options)),
    );
}

function one(command: Command, call: (session: Session) => Promise<OperationInfo | undefined>): Promise<void> {
  return withSession(command.optsWithGlobals<GlobalOptions>(), async (session) => {
    const operation = await call(session);
    if (!operation) {
      return;
    }
    if (session.json) {
      writeOperation(operation);
      return;
    }
    writeLines([operation.operationId, ...renderOperation(operation, undefined, Date.now(), currentScreen())]);
  });
}

async function list(session: Session, options: ListOptions): Promise<void> {
  const { operations, nextPageToken } = await session.client.rpc.listOperations({
    filter: {
      operationTypes: [...(options.type ?? [])],
      statuses: (options.status ?? []).map(statusFrom),
      labels: Object.fromEntries((options.label ?? []).map((text) => keyValue(text, "--label"))),
      parentOperationId: options.parent ?? "",
    },
    pageSize: Number(wholeNumber(options.limit ?? "50", "--limit")),
    pageToken: options.pageToken ?? "",
  });
  if (session.json) {
    operations.forEach(writeOperation);
  } else {
    writeLines(operationTable(operations, currentScreen()));
  }
  if (nextPageToken !== "") {
    process.stderr.write(`more: --page-token ${nextPageToken}\n`);
  }
}

function statusFrom(text: string): OperationStatus {
  const name = text.toUpperCase().replace("OPERATION_STATUS_", "") as keyof typeof OperationStatus;
  if (name === ("UNSPECIFIED" as string) || !Object.hasOwn(OperationStatus, name)) {
    throw new UsageError(
      `--status is ${JSON.stringify(text)}; it must be pending, running, completed, failed or cancelled`,
    );
  }
  return OperationStatus[name];
}
