import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { BadRequestSchema, ErrorInfoSchema, ResourceInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { SeenSteps } from "./steps.ts";

/** What a program for single calls has answered. */
export type CommandAnswer =
  // biome-ignore lint/suspicious/noExplicitAny: an answer in the JSON of a program that is not ours.
  | { readonly message: any }
  | { readonly code: number; readonly details?: readonly { readonly type: string; readonly value: string }[] };

/** Makes one call with such a program. */
export type CommandCall = (method: string, request: object, timeoutMs?: number) => Promise<CommandAnswer>;

type Message = Extract<CommandAnswer, { message: unknown }>["message"];

/** Does the steps of `expectSteps` by single calls. */
export async function takeSteps(call: CommandCall): Promise<SeenSteps> {
  const answered = async (...given: Parameters<CommandCall>): Promise<Message> => {
    const answer = await call(...given);
    if (!("message" in answer)) {
      throw new Error(`${given[0]} was refused: ${JSON.stringify(answer)}`);
    }
    return answer.message;
  };
  const begin = async (parameters: object, more: object = {}): Promise<string> => {
    const request = { operationType: "training", metadata: { parameters }, ...more };
    return (await answered("CreateOperation", request)).operation.operationId;
  };
  const waitForEnd = async (operationId: string): Promise<Message> =>
    (await answered("WaitOperation", { operationId, untilDone: true })).operation;
  const refusal = async (method: string, request: object) => factsOf(await call(method, request));

  const request = { operationType: "training", requestId: randomUUID(), metadata: { symbol: "MSFT" } };
  const first = (await answered("CreateOperation", request)).operation;
  const again = (await answered("CreateOperation", request)).operation;
  const created: string[] = [];
  const labels = { batch: randomUUID() };
  for (let index = 0; index < 5; index++) {
    created.push(await begin({}, { labels }));
  }
  return {
    create: {
      status: first.status,
      symbol: first.metadata.symbol,
      same: first.operationId === again.operationId,
    },
    poll: await poll(answered, await begin({ records: 10, delayMs: 50 })),
    wait: await waitForEnd(await begin({ records: 5, delayMs: 20 })).then(({ status, resultSummary }) => {
      return { status, records: resultSummary.records };
    }),
    metrics: await metrics(answered, await begin({ records: 30 }).then(waitForEnd)),
    cancel: await cancel(answered, waitForEnd, await begin({ hold: true })),
    "not-found": await refusal("GetOperation", { operationId: "op_nobody" }),
    "bad-request": await refusal("CreateOperation", { operationType: "training", totalSteps: "-1" }),
    deadline: await deadline(answered, call, await begin({ hold: true })),
    list: { created, ...(await list(answered, labels)) },
  };
}

type Answered = (...given: Parameters<CommandCall>) => Promise<Message>;

async function poll(answered: Answered, operationId: string) {
  let knownRevision = "0";
  let backwards = false;
  for (;;) {
    const answer = await answered("GetOperation", { operationId, knownRevision });
    if (!answer.notModified) {
      const { status, revision, completedAt, progress } = answer.operation;
      backwards ||= BigInt(revision) <= BigInt(knownRevision);
      knownRevision = revision;
      if (completedAt) {
        const { notModified } = await answered("GetOperation", { operationId, knownRevision });
        return { status, percentage: progress.percentage, backwards, notModified };
      }
    }
    await pause(50);
  }
}

async function metrics(answered: Answered, { operationId }: Message) {
  const epochs: Message[] = [];
  let [cursor, pages, hasMore] = ["0", 0, true];
  while (hasMore) {
    const page: Message = await answered("GetMetrics", { operationId, cursor, maxRecords: 7 });
    epochs.push(...page.metrics.training.epochs);
    [cursor, pages, hasMore] = [page.newCursor, pages + 1, page.hasMore === true];
  }
  return {
    sequences: epochs.map(({ sequence }) => Number(sequence)),
    notANumber: epochs.filter(({ valLoss }) => valLoss === "NaN").length,
    infinite: epochs.filter(({ trainLoss }) => trainLoss === "Infinity").length,
    cursor: Number(cursor),
    pages,
  };
}

async function cancel(answered: Answered, waitForEnd: (id: string) => Promise<Message>, operationId: string) {
  const { operation } = await answered("CancelOperation", { operationId, reason: "wrong data" });
  const { status, cancellation } = await waitForEnd(operationId);
  return {
    requested: operation.cancellation.requestedAt !== undefined,
    status,
    reason: cancellation.reason,
    acknowledged: cancellation.acknowledgedAt !== undefined,
  };
}

async function deadline(answered: Answered, call: CommandCall, operationId: string) {
  let knownRevision = (await answered("GetOperation", { operationId })).operation.revision;
  let answeredBefore = false;
  // Two waits, because the operation may only now have begun to run.
  for (let waits = 0; waits < 2 && !answeredBefore; waits++) {
    const answer = await answered("WaitOperation", { operationId, knownRevision }, 5_000);
    answeredBefore = answer.notModified === true;
    knownRevision = answer.operation?.revision;
  }
  const { code } = factsOf(await call("GetOperation", { operationId }, 0.001));
  await answered("CancelOperation", { operationId, reason: "seen enough" });
  return { answeredBefore, code };
}

async function list(answered: Answered, labels: object) {
  const sizes: number[] = [];
  const listed: string[] = [];
  let pageToken: string | undefined = "";
  while (pageToken !== undefined) {
    const page: Message = await answered("ListOperations", { filter: { labels }, pageSize: 2, pageToken });
    sizes.push(page.operations.length);
    listed.push(...page.operations.map((operation: Message) => operation.operationId));
    pageToken = page.nextPageToken;
  }
  return { sizes, listed };
}

function factsOf(answer: CommandAnswer): Record<string, unknown> {
  if ("message" in answer) {
    return { code: 0 };
  }
  const facts: Record<string, unknown> = { code: answer.code };
  for (const { type, value } of answer.details ?? []) {
    const bytes = Buffer.from(value, "base64");
    if (type === ErrorInfoSchema.typeName) {
      const { reason, domain } = fromBinary(ErrorInfoSchema, bytes);
      Object.assign(facts, { reason, domain });
    } else if (type === ResourceInfoSchema.typeName) {
      facts["resource"] = fromBinary(ResourceInfoSchema, bytes).resourceName;
    } else if (type === BadRequestSchema.typeName) {
      facts["field"] = fromBinary(BadRequestSchema, bytes).fieldViolations[0]?.field;
    }
  }
  return facts;
}
