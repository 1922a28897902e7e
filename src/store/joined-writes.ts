import { setImmediate } from "node:timers/promises";

/** The rows after which a transaction takes no more writes. */
const rowsPerTransaction = 1_000;

/** What joined writes are run by. */
export interface JoinedWritesOptions<Given, Answer> {
  /**
   * Runs writes in one transaction and answers each, in their order. `rows` is about how many rows they touch. An answer
   * may be a promise: its caller waits on, and nobody else.
   */
  readonly runAll: (rows: number, given: readonly Given[]) => Promise<readonly (Answer | Promise<Answer>)[]>;
  /** About how many rows a write touches. */
  readonly rowsOf: (given: Given) => number;
  /** Transactions that may be under way at a time. */
  readonly atOnce: number;
  /** Whether an error would come each time, so that it need not be found out whose it is. */
  readonly failsAll: (error: unknown) => boolean;
}

interface WaitingWrite<Given, Answer> {
  readonly given: Given;
  readonly resolve: (answer: Answer | Promise<Answer>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Has writes of one kind share a transaction, with its commit and its statements: those that come during one turn of the
 * event loop, and those that come while as many transactions are under way as may be.
 *
 * I1 A write's promise resolves only after its commit.
 * I2 When writes fail together, each is run alone, so that it fails only for its own reasons; unless `failsAll`.
 */
export function joinedWrites<Given, Answer>({
  runAll,
  rowsOf,
  atOnce,
  failsAll,
}: JoinedWritesOptions<Given, Answer>): (given: Given) => Promise<Answer> {
  const waiting: WaitingWrite<Given, Answer>[] = [];
  let underWay = 0;
  let isGathering = false;

  function goOn(): void {
    if (waiting.length > 0 && !isGathering && underWay < atOnce) {
      void runNext();
    }
  }

  async function runNext(): Promise<void> {
    isGathering = true;
    // Lets the callers of this turn join.
    await setImmediate();
    isGathering = false;
    const writes = nextTogether();
    underWay++;
    goOn();
    await runTogether(writes);
    underWay--;
    goOn();
  }

  function nextTogether(): WaitingWrite<Given, Answer>[] {
    let rows = 0;
    const end = waiting.findIndex(({ given }) => {
      rows += rowsOf(given);
      return rows >= rowsPerTransaction;
    });
    return waiting.splice(0, end < 0 ? waiting.length : end + 1);
  }

  async function runTogether(writes: readonly WaitingWrite<Given, Answer>[]): Promise<void> {
    const given = writes.map((write) => write.given);
    const rows = given.reduce((sum, one) => sum + rowsOf(one), 0);
    try {
      const answers = await runAll(rows, given);
      for (const [index, { resolve }] of writes.entries()) {
        resolve(answers[index] as Answer);
      }
    } catch (error) {
      if (writes.length === 1 || failsAll(error)) {
        for (const { reject } of writes) {
          reject(error);
        }
        return;
      }
      for (const write of writes) {
        await runTogether([write]);
      }
    }
  }

  return (given) =>
    new Promise((resolve, reject) => {
      waiting.push({ given, resolve, reject });
      goOn();
    });
}
