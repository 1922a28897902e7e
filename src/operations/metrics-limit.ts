import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { keptWarnings } from "../progress/progress-bridge.ts";
import type { MetricsLog } from "./operation-store.ts";

/**
 * How many metric records of one operation are kept: the first ones, so that their sequences have no gaps. The summary
 * covers those.
 *
 * I1 What is kept stays: a log that is longer than the limit, which was greater before, only does not grow.
 * I2 Records are dropped only when the operation's warnings in the store say so, which also tells whoever has the
 *    operation after a restart.
 */
export class MetricsLimit {
  readonly #last: number;
  #isExceeded: boolean;

  /** The limit of an operation as it is stored. */
  constructor(maxMetricRecords: number, { cursor }: MetricsLog, { warnings }: OperationInfo) {
    this.#last = Math.max(maxMetricRecords, cursor);
    this.#isExceeded = cursor === this.#last && warnings.includes(this.warning);
  }

  /** What an operation says of itself whose records are dropped. */
  get warning(): string {
    return `only the first ${this.#last} metric records are kept, further ones are dropped (maxMetricRecords)`;
  }

  /** All is kept that will be, and records have been dropped: no more are wanted. */
  get isExceeded(): boolean {
    return this.#isExceeded;
  }

  /** As much of a source's metrics_cursor as is kept here, or will be. */
  upTo(metricsCursor: bigint): bigint {
    return metricsCursor > this.#last ? BigInt(this.#last) : metricsCursor;
  }

  /** Whether the record of this sequence is kept. */
  keeps(sequence: number): boolean {
    return sequence <= this.#last;
  }

  /** I2: the warning is stored. */
  exceed(): void {
    this.#isExceeded = true;
  }

  /** The warnings that follow `shown` when the source has `newest`: with the registry's own once records are dropped. */
  warnings(shown: readonly string[], newest: string[]): string[] {
    return this.#isExceeded ? this.withWarning(shown, newest) : newest;
  }

  /** The newest warnings with the registry's own, in the place it has among those shown, else at the end. */
  withWarning(shown: readonly string[], newest: string[]): string[] {
    if (newest.includes(this.warning)) {
      return newest;
    }
    const others = newest.slice(1 - keptWarnings);
    const place = shown.indexOf(this.warning);
    return others.toSpliced(place < 0 ? others.length : place, 0, this.warning);
  }
}
