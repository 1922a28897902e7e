import { setImmediate } from "node:timers/promises";
import type { Kysely, Transaction } from "kysely";
import type { StoreTables } from "./schema.ts";
import type { Transact } from "./transact.ts";

/** The rows after which a transaction takes no more writes, so that the event loop is not held up for long. */
const maxGroupRows = 2_000;

/** What a database may have of its own in committing. */
export interface GroupCommitOptions {
  /** Whether an error of a group would come each time. Default: never. */
  readonly failsAll?: (error: unknown) => boolean;
  /** The last that a transaction does. Default: nothing. */
  readonly beforeCommit?: (trx: Transaction<StoreTables>) => Promise<void>;
}

interface WaitingWrite {
  readonly rows: number;
  /** Runs the write; the function it answers settles its caller's promise. */
  readonly run: (trx: Transaction<StoreTables>) => Promise<() => void>;
  readonly reject: (error: unknown) => void;
}

/**
 * Writes for a database whose every commit waits for the disk and whose transactions run one at a time: those that
 * come during one turn of the event loop share a transaction.
 *
 * I1 A write's promise resolves only after the commit.
 * I2 Writes run in the order they came, one group at a time.
 * I3 When a group fails, each of its writes is run alone, so that it fails only for its own reasons; unless
 *    `failsAll` says of the error that it would come each time.
 */
export function groupCommit(
  db: Kysely<StoreTables>,
  { failsAll = () => false, beforeCommit }: GroupCommitOptions = {},
): Transact {
  const waiting: WaitingWrite[] = [];
  let draining = false;

  async function drain(): Promise<void> {
    draining = true;
    while (waiting.length > 0) {
      // Lets the callers of this turn join, and everybody else run between two groups.
      await setImmediate();
      await commit(nextGroup());
    }
    draining = false;
  }

  function nextGroup(): WaitingWrite[] {
    let rows = 0;
    const end = waiting.findIndex((write) => {
      rows += write.rows;
      return rows >= maxGroupRows;
    });
    return waiting.splice(0, end < 0 ? waiting.length : end + 1);
  }

  async function commit(group: readonly WaitingWrite[]): Promise<void> {
    try {
      const settled = await db.transaction().execute(async (trx) => {
        const settles: (() => void)[] = [];
        for (const write of group) {
          settles.push(await write.run(trx));
        }
        await beforeCommit?.(trx);
        return settles;
      });
      for (const settle of settled) {
        settle();
      }
    } catch (error) {
      if (group.length === 1 || failsAll(error)) {
        for (const { reject } of group) {
          reject(error);
        }
        return;
      }
      for (const write of group) {
        await commit([write]);
      }
    }
  }

  return (rows, write) =>
    new Promise((resolve, reject) => {
      waiting.push({
        rows,
        reject,
        run: async (trx) => {
          const result = await write(trx);
          return () => resolve(result);
        },
      });
      if (!draining) {
        void drain();
      }
    });
}
