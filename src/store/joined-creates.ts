import type { CreatedRow, NewRow } from "./operation-creation.ts";

/** Transactions with creates at a time: while the database is at one, the next one is on its way. */
const transactionsAtOnce = 2;
/** The most creates of one transaction. */
const createsPerTransaction = 64;

interface WaitingCreate {
  readonly row: NewRow;
  readonly resolve: (outcome: CreatedRow) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Has creates that come while others are under way share a transaction, with its commit and its statements; one that
 * comes alone goes at once.
 *
 * I1 A create's promise resolves only after its commit.
 * I2 When creates fail together, each is run alone, so that it fails only for its own reasons; unless `failsAll` says of
 *    the error that it would come each time.
 */
export function joinedCreates(
  createAll: (rows: readonly NewRow[]) => Promise<CreatedRow[]>,
  failsAll: (error: unknown) => boolean,
): (row: NewRow) => Promise<CreatedRow> {
  const waiting: WaitingCreate[] = [];
  let underWay = 0;

  async function createNext(): Promise<void> {
    underWay++;
    while (waiting.length > 0) {
      await createTogether(waiting.splice(0, createsPerTransaction));
    }
    underWay--;
  }

  async function createTogether(creates: readonly WaitingCreate[]): Promise<void> {
    try {
      const outcomes = await createAll(creates.map(({ row }) => row));
      outcomes.forEach((outcome, index) => {
        creates[index]?.resolve(outcome);
      });
    } catch (error) {
      if (creates.length === 1 || failsAll(error)) {
        for (const { reject } of creates) {
          reject(error);
        }
        return;
      }
      for (const create of creates) {
        await createTogether([create]);
      }
    }
  }

  return (row) =>
    new Promise((resolve, reject) => {
      waiting.push({ row, resolve, reject });
      if (underWay < transactionsAtOnce) {
        void createNext();
      }
    });
}
