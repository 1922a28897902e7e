import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { isTerminal, mayBeObservedAfter } from "../../src/operations/life-cycle.ts";
import { type ServerProcess, startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";

const rounds = 30;
const clients = 6;
/** The longest time from the first call of a round to its kill, in milliseconds. */
const longestRoundMs = 250;

/** Numbers from 0 to 1 that follow from the seed (mulberry32 by Tommy Ettinger). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Known {
  status: OperationStatus;
  /** Revision and end of the terminal snapshot. */
  final?: string;
  cursor: bigint;
}

/** What the clients were told, and what of it turned out to be broken. */
class Ledger {
  readonly operations = new Map<string, Known>();
  /** Creates that were sent and not answered, by request_id. */
  readonly inDoubt = new Map<string, Parameters<OperationsClient["createOperation"]>[0]>();
  readonly broken: string[] = [];

  see(operation: OperationInfo | undefined): void {
    if (!operation) {
      this.broken.push("an answer without its operation");
      return;
    }
    const { operationId, status, revision } = operation;
    const known = this.operations.get(operationId) ?? { status, cursor: 0n };
    this.operations.set(operationId, known);
    if (status !== known.status && !mayBeObservedAfter(known.status, status)) {
      this.broken.push(`${operationId}: ${known.status} was followed by ${status}`);
    }
    known.status = status;
    if (isTerminal(status)) {
      const final = `${revision} at ${operation.completedAt?.seconds}.${operation.completedAt?.nanos}`;
      known.final ??= final;
      if (known.final !== final) {
        this.broken.push(`${operationId}: ended as ${known.final} and then as ${final}`);
      }
    }
  }

  pick(random: () => number): string | undefined {
    return [...this.operations.keys()][Math.floor(random() * this.operations.size)];
  }
}

/** Calls until the server is gone. What it refuses although it should know better is noted. */
async function useUntilKilled(
  client: OperationsClient,
  ledger: Ledger,
  random: () => number,
  name: string,
): Promise<void> {
  const call = { timeoutMs: 5_000 };
  for (let turn = 0; ; turn++) {
    try {
      const dice = random();
      const operationId = ledger.pick(random);
      if (dice < 0.45 || operationId === undefined) {
        const requestId = `${name}-${turn}`;
        const parameters = { records: 3, delayMs: Math.floor(random() * 40), hold: random() < 0.2 };
        const request = {
          operationType: random() < 0.5 ? "restartable" : "training",
          requestId,
          metadata: { parameters },
        };
        ledger.inDoubt.set(requestId, request);
        const { operation } = await client.createOperation(request, call);
        ledger.inDoubt.delete(requestId);
        ledger.see(operation);
      } else if (dice < 0.75) {
        ledger.see((await client.getOperation({ operationId }, call)).operation);
      } else if (dice < 0.85) {
        ledger.see((await client.cancelOperation({ operationId, reason: name }, call)).operation);
      } else {
        const known = ledger.operations.get(operationId);
        const { newCursor } = await client.getMetrics({ operationId }, call);
        if (known && newCursor < known.cursor) {
          ledger.broken.push(`${operationId}: the cursor went from ${known.cursor} back to ${newCursor}`);
        } else if (known) {
          known.cursor = newCursor;
        }
      }
    } catch (error) {
      const { code, message } = ConnectError.from(error);
      if (code !== Code.Unavailable && code !== Code.DeadlineExceeded && code !== Code.Canceled) {
        ledger.broken.push(`${name}: ${message}`);
      }
      return;
    }
  }
}

/** Holds what the restarted server says against what was acknowledged, and repeats the creates that are in doubt. */
async function settle({ client }: ServerProcess, ledger: Ledger): Promise<void> {
  const ids = [...ledger.operations.keys()];
  for (let from = 0; from < ids.length; from += 1_000) {
    const asked = ids.slice(from, from + 1_000).map((operationId) => ({ operationId }));
    const { operations, notFound } = await client.batchGetOperations({ operations: asked });
    operations.forEach((operation) => {
      ledger.see(operation);
    });
    ledger.broken.push(...notFound.map((operationId) => `${operationId} is lost`));
  }
  for (const [requestId, request] of ledger.inDoubt) {
    ledger.see((await client.createOperation(request)).operation);
    ledger.inDoubt.delete(requestId);
  }
}

test("a server killed at 30 random moments under load loses no acknowledged operation and takes back no end", async () => {
  const seed = Date.now() % 2 ** 31;
  process.stderr.write(`kill.test.ts: seed ${seed}\n`);
  const random = randomFrom(seed);
  const ledger = new Ledger();
  const dataDir = await temporaryDirectory();
  let server = await startServerProcess(dataDir, { cacheTtlMs: 1, sweepIntervalMs: 50 });
  for (let round = 0; round < rounds; round++) {
    const users = Array.from({ length: clients }, (_, index) =>
      useUntilKilled(server.client, ledger, random, `round ${round} client ${index}`),
    );
    await new Promise((resolve) => setTimeout(resolve, 10 + random() * longestRoundMs));
    server.kill("SIGKILL");
    await Promise.all([server.exited, ...users]);
    server = await startServerProcess(dataDir, { cacheTtlMs: 1, sweepIntervalMs: 50, port: server.port });
    await settle(server, ledger);
    expect(ledger.broken, `seed ${seed}, round ${round}`).toEqual([]);
  }
  const { client } = server;
  const ids = [...ledger.operations.keys()];
  await client.cancelOperations({
    filter: { statuses: [OperationStatus.PENDING, OperationStatus.RUNNING] },
    reason: "end",
  });
  await expect
    .poll(
      async () => {
        await settle(server, ledger);
        return [...ledger.operations.values()].filter(({ status }) => !isTerminal(status)).length;
      },
      { timeout: 20_000, interval: 100 },
    )
    .toBe(0);
  expect(ledger.broken, `seed ${seed}`).toEqual([]);
  // Nothing ran under a second name: what was created is what is there.
  expect((await client.countOperations({})).total).toBe(BigInt(ids.length));
  const ends = new Set([...ledger.operations.values()].map(({ status }) => status));
  expect(ends).toEqual(new Set([OperationStatus.COMPLETED, OperationStatus.FAILED, OperationStatus.CANCELLED]));
}, 180_000);
