import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, onTestFinished, test } from "vitest";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";
import { type MetricsPage, PollingClient } from "../../src/client/polling-client.ts";
import type { PollingClock } from "../../src/client/polling-clock.ts";
import { startScriptedServer } from "./scripted-server.ts";

const { RUNNING, COMPLETED, CANCELLED } = OperationStatus;
const unavailable = () => new ConnectError("not now", Code.Unavailable);
const unimplemented = () => new ConnectError("only the host profile", Code.Unimplemented);

/** Time that passes in pauses alone, and at once. */
function testClock(random = 0.5) {
  const pauses: number[] = [];
  let nowMs = 0;
  const clock: PollingClock = {
    now: () => nowMs,
    random: () => random,
    pause: async (ms) => {
      pauses.push(ms);
      nowMs += ms;
    },
  };
  return { clock, pauses };
}

/** A polling client of a server with these methods; both end with the test. */
async function startClient(service: Partial<ServiceImpl<typeof OperationsService>>, random?: number) {
  const server = await startScriptedServer(service);
  const transport = createGrpcJsTransport({ baseUrl: server.url });
  onTestFinished(async () => {
    transport.close();
    await server.kill();
  });
  const { clock, pauses } = testClock(random);
  return { client: new PollingClient(transport, clock), pauses };
}

/** What Get, Wait, Create and Cancel answer, as far as it matters here. */
interface Answer {
  readonly operation?: { readonly operationId: string; readonly revision: bigint; readonly status: OperationStatus };
  readonly notModified?: boolean;
  readonly pollAfter?: Duration;
}

/** Answers one after the other; a function is called, and the last one stays. */
function script(...answers: (Answer | (() => Answer))[]): () => Answer {
  let at = 0;
  return () => {
    const answer = answers[Math.min(at, answers.length - 1)];
    at += 1;
    return typeof answer === "function" ? answer() : (answer ?? {});
  };
}

function refusal(error: ConnectError): () => never {
  return () => {
    throw error;
  };
}

const snapshot = (revision: bigint, status: OperationStatus = RUNNING): Answer => ({
  operation: { operationId: "op_1", revision, status },
});

/** A pause as the test clock's own random makes it. */
const spread = (ms: number) => ms * (1 + 0.1 * 0.5);

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

const revisions = (operations: readonly OperationInfo[]) => operations.map(({ revision }) => revision);

describe("watch", () => {
  test("yields what is known, then every change a wait tells, to the end", async () => {
    const asked: bigint[] = [];
    const next = script(snapshot(2n), { notModified: true }, snapshot(5n, COMPLETED));
    const { client } = await startClient({
      getOperation: () => snapshot(1n),
      waitOperation: ({ knownRevision }) => {
        asked.push(knownRevision);
        return next();
      },
    });
    expect(revisions(await collect(client.watch("op_1")))).toEqual([1n, 2n, 5n]);
    expect(asked).toEqual([1n, 2n, 2n]);
  });

  test("never yields a snapshot older than one it has yielded", async () => {
    const { client } = await startClient({
      getOperation: () => snapshot(7n),
      waitOperation: script(snapshot(3n), snapshot(7n), snapshot(8n, COMPLETED)),
    });
    expect(revisions(await collect(client.watch("op_1")))).toEqual([7n, 8n]);
  });

  test("polls with Get as often as poll_after says where waiting is not served", async () => {
    const get = script(
      { ...snapshot(1n), pollAfter: durationFromMs(3_000) },
      { notModified: true, pollAfter: durationFromMs(2_000) },
      { ...snapshot(2n), pollAfter: durationFromMs(10) },
      { ...snapshot(3n, COMPLETED) },
    );
    let waits = 0;
    const { client, pauses } = await startClient({
      getOperation: get,
      waitOperation: () => {
        waits += 1;
        throw unimplemented();
      },
    });
    expect(revisions(await collect(client.watch("op_1")))).toEqual([1n, 2n, 3n]);
    expect(pauses).toEqual([250, 3_000, 2_000, 250].map(spread));
    expect(waits).toBe(1);
  });

  test("yields every answer of a host that keeps no revisions", async () => {
    const { client } = await startClient({ getOperation: script(snapshot(0n), snapshot(0n), snapshot(0n, COMPLETED)) });
    expect(await collect(client.watch("op_1"))).toHaveLength(3);
  });

  test("never calls faster than its own minimum, whatever the server answers", async () => {
    const { client, pauses } = await startClient({
      getOperation: () => snapshot(1n),
      waitOperation: script({ notModified: true }, { notModified: true }, snapshot(2n, COMPLETED)),
    });
    await collect(client.watch("op_1", { minimumMs: 400 }));
    expect(pauses).toEqual([400, 400, 400].map(spread));
  });

  test("begins to wait although a Get has advised to poll late, and waits again when the wait has advised to", async () => {
    const { client, pauses } = await startClient({
      getOperation: () => ({ ...snapshot(1n), pollAfter: durationFromMs(9_000) }),
      waitOperation: script({ notModified: true, pollAfter: durationFromMs(700) }, snapshot(2n, COMPLETED)),
    });
    await collect(client.watch("op_1"));
    expect(pauses).toEqual([250, 700].map(spread));
  });

  test.each([
    [0, 3_000],
    [0.5, 3_150],
  ])("spreads what the server advises: at random %d, 3 s are %d ms", async (random, expected) => {
    const { client, pauses } = await startClient(
      {
        getOperation: script({ ...snapshot(0n), pollAfter: durationFromMs(3_000) }, snapshot(0n, COMPLETED)),
      },
      random,
    );
    await collect(client.watch("op_1"));
    expect(pauses).toEqual([expected]);
  });

  test("does not poll faster because of errors: the longest of advice, minimum and backoff counts", async () => {
    const down = refusal(unavailable());
    const { client, pauses } = await startClient({
      getOperation: script(
        { ...snapshot(0n), pollAfter: durationFromMs(600) },
        ...[down, down, down],
        () => snapshot(0n),
        down,
        () => snapshot(0n, COMPLETED),
      ),
    });
    await collect(client.watch("op_1", { minimumMs: 300 }));
    expect(pauses).toEqual([spread(600), spread(600), spread(600), 800, spread(300), spread(300)]);
  });

  test("tries once more when its patience ends before the server's advice", async () => {
    const { client, pauses } = await startClient({
      getOperation: script({ ...snapshot(0n), pollAfter: durationFromMs(9_000) }, refusal(unavailable())),
    });
    const watching = collect(client.watch("op_1", { retryForMs: 1_000 }));
    await expect(watching).rejects.toMatchObject({ code: Code.Unavailable });
    expect(pauses).toEqual([spread(9_000), 1_000]);
  });

  test("follows a poll_after to a minute and no longer", async () => {
    const { client, pauses } = await startClient({
      getOperation: script({ ...snapshot(1n), pollAfter: durationFromMs(86_400_000) }, snapshot(2n, COMPLETED)),
      waitOperation: refusal(unimplemented()),
    });
    await collect(client.watch("op_1"));
    expect(pauses).toEqual([250, 60_000].map(spread));
  });

  test("goes on after the server was away, waiting longer from try to try", async () => {
    const down = refusal(unavailable());
    const { client, pauses } = await startClient({
      getOperation: script(down, down, down, () => snapshot(1n, COMPLETED)),
    });
    expect(revisions(await collect(client.watch("op_1")))).toEqual([1n]);
    expect(pauses).toEqual([spread(250), 400, 800]);
  });

  test("gives up with the server's error once it was away for too long", async () => {
    const { client, pauses } = await startClient({ getOperation: refusal(unavailable()) });
    const watching = collect(client.watch("op_1", { retryForMs: 1_000 }));
    await expect(watching).rejects.toMatchObject({ code: Code.Unavailable, rawMessage: "not now" });
    expect(pauses).toEqual([spread(250), 400]);
  });

  test("does not try a refusal again", async () => {
    const { client, pauses } = await startClient({
      getOperation: refusal(new ConnectError("no such operation", Code.NotFound)),
    });
    await expect(collect(client.watch("op_1"))).rejects.toMatchObject({ code: Code.NotFound });
    expect(pauses).toEqual([]);
  });

  test("ends without an error when its signal aborts in the middle of a wait", async () => {
    const waiting = Promise.withResolvers<void>();
    const { client } = await startClient({
      getOperation: () => snapshot(1n),
      waitOperation: () => {
        waiting.resolve();
        return new Promise<never>(() => undefined);
      },
    });
    const leave = new AbortController();
    const watching = collect(client.watch("op_1", { signal: leave.signal }));
    await waiting.promise;
    leave.abort();
    expect(revisions(await watching)).toEqual([1n]);
  });
});

describe("waitUntilDone", () => {
  test("asks the server to wait for the end and answers it", async () => {
    const { client } = await startClient({
      getOperation: () => snapshot(1n),
      waitOperation: ({ untilDone }) => snapshot(9n, untilDone ? CANCELLED : RUNNING),
    });
    expect((await client.waitUntilDone("op_1"))?.status).toBe(CANCELLED);
  });
});

describe("create", () => {
  test("tried again is the same request", async () => {
    const requestIds: string[] = [];
    const answer = script(refusal(unavailable()), () => snapshot(1n));
    const { client } = await startClient({
      createOperation: ({ requestId }) => {
        requestIds.push(requestId);
        return answer();
      },
    });
    expect((await client.create({ operationType: "training" }))?.operationId).toBe("op_1");
    expect(requestIds).toHaveLength(2);
    expect(requestIds[0]).not.toBe("");
    expect(requestIds[1]).toBe(requestIds[0]);
  });

  test("keeps the caller's request_id", async () => {
    const { client } = await startClient({
      createOperation: ({ requestId }) => ({ operation: { operationId: requestId } }),
    });
    expect((await client.create({ operationType: "training", requestId: "mine" }))?.operationId).toBe("mine");
  });
});

describe("a pause before the next try", () => {
  test("is spread at random around the backoff", async () => {
    for (const [random, expected] of [
      [0, 150],
      [0.5, 200],
      [0.9, 240],
    ] as const) {
      const { client, pauses } = await startClient(
        { getOperation: script(refusal(unavailable()), () => snapshot(1n)) },
        random,
      );
      await client.get("op_1");
      expect(pauses).toEqual([expected]);
    }
  });

  test.each([Code.Unavailable, Code.ResourceExhausted])(
    "is as long as the server asks for with code %i",
    async (code) => {
      const busy = new ConnectError("not now", code, undefined, [
        { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(3_000) } },
      ]);
      const { client, pauses } = await startClient({ cancelOperation: script(refusal(busy), () => snapshot(1n)) });
      await client.cancel("op_1", "enough");
      expect(pauses).toEqual([3_000]);
    },
  );
});

describe("metrics", () => {
  const epochs = Array.from({ length: 10 }, (_, index) => ({ sequence: BigInt(index + 1), epoch: index + 1 }));

  /** Serves the first `known` epochs in pages, with the operation's end after all ten. */
  function metricsService(known: () => number): Partial<ServiceImpl<typeof OperationsService>> {
    return {
      getMetrics: ({ cursor, maxRecords, latest }) => {
        const after = epochs.slice(0, known()).filter(({ sequence }) => sequence > cursor);
        const page = latest ? after.slice(-maxRecords) : after.slice(0, maxRecords || 3);
        const newCursor = page.at(-1)?.sequence ?? cursor;
        const hasMore = newCursor < BigInt(known());
        const ended = newCursor === BigInt(epochs.length);
        return {
          metrics: { metrics: { case: "training" as const, value: { epochs: page } } },
          newCursor,
          hasMore,
          ...(ended ? {} : { pollAfter: durationFromMs(hasMore ? 0 : 1_000) }),
        };
      },
    };
  }

  const numbers = (pages: readonly MetricsPage[]) =>
    pages.flatMap(({ metrics: { metrics } }) =>
      metrics.case === "training" ? metrics.value.epochs.map(({ epoch }) => epoch) : [],
    );

  test("come page by page, each record once, to the newest", async () => {
    const { client, pauses } = await startClient(metricsService(() => 8));
    const pages = await collect(client.metrics("op_1"));
    expect(numbers(pages)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(pages.map(({ cursor }) => cursor)).toEqual([3n, 6n, 8n]);
    expect(pauses).toEqual([]);
  });

  test("go on from a cursor", async () => {
    const { client } = await startClient(metricsService(() => 8));
    expect(numbers(await collect(client.metrics("op_1", { cursor: 6n })))).toEqual([7, 8]);
    expect(await collect(client.metrics("op_1", { cursor: 8n }))).toEqual([]);
  });

  test("followed, come to the operation's end, also after the server was away", async () => {
    const known = [2, undefined, 2, 7, 10];
    const service = metricsService(() => known[0] ?? 0);
    const { client } = await startClient({
      getMetrics: (request, context) => {
        if (known[0] === undefined) {
          known.shift();
          throw unavailable();
        }
        const answer = service.getMetrics?.(request, context) ?? {};
        if (request.cursor === BigInt(known[0])) known.shift();
        return answer;
      },
    });
    expect(numbers(await collect(client.metrics("op_1", { follow: true })))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("can begin with the newest", async () => {
    const { client } = await startClient(metricsService(() => 10));
    expect(numbers(await collect(client.metrics("op_1", { latest: true, maxRecords: 2 })))).toEqual([9, 10]);
  });

  test("do not turn in a circle where a server promises more and gives nothing", async () => {
    let calls = 0;
    const { client } = await startClient({
      getMetrics: ({ cursor }) => {
        calls += 1;
        return { newCursor: cursor, hasMore: true, metrics: {} };
      },
    });
    expect(await collect(client.metrics("op_1", { cursor: 4n }))).toEqual([]);
    expect(calls).toBe(1);
  });
});
