import { setImmediate as nextTurn } from "node:timers/promises";

/** How many are answered in one turn of the event loop: each sets off the encoding and sending of an answer. */
const perTurn = 64;

/**
 * Gives values to `answer`, which says whether it has answered somebody, and lets others have their turn after every 64
 * who were. Those of the first turn are answered when this returns, all when it resolves. The values may change
 * meanwhile, as those of a Set may.
 */
export async function answerInTurns<T>(values: Iterable<T>, answer: (value: T) => boolean): Promise<void> {
  let answered = 0;
  for (const value of values) {
    if (answer(value)) {
      answered += 1;
      if (answered % perTurn === 0) {
        await nextTurn();
      }
    }
  }
}
