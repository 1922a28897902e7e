import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import type { OperationSource } from "./operation-source.ts";

/** An operation whose state is pulled from a source, as those see it who pull and who wait. */
export interface PulledOperation {
  /** The newest snapshot. */
  readonly info: OperationInfo;
  /** Where the state comes from. Unset while there is nobody to ask. */
  readonly source: OperationSource | undefined;
  /** Sequence of the newest stored metric record known here. */
  readonly cursor: number;
  /** The log is full and has refused records: no more are wanted. */
  readonly dropsRecords: boolean;
  /** Nothing more happens to it here: it has ended, or has moved. */
  readonly isOver: boolean;
  /** Another server has it now, so what is known here does not count any more. */
  readonly hasMoved: boolean;
  /** Takes records that were pulled. */
  append(records: readonly MetricRecord[]): Promise<void>;
  /** Calls the listener after each new revision and when it is over, until the returned function is called. */
  onChange(listener: () => void): () => void;
}
