import type { Selectable } from "kysely";
import type { StoreTables } from "./schema.ts";

/** The columns an operation is read from. Apart from what reads them, which the thread that writes need not load. */
export const storedColumns = ["info", "request", "payload_hash", "dispatched", "owner", "traceparent"] as const;

/** What is written of a new operation. */
export type OperationRow = Selectable<StoreTables["operations"]>;

/** What may change of an operation, with its id, and with its type, by which it is counted. */
export type ChangedRow = Pick<
  OperationRow,
  | "operation_id"
  | "operation_type"
  | "status"
  | "completed_at"
  | "expires_at"
  | "revision"
  | "dispatched"
  | "owner"
  | "changed_by_other"
  | "info"
>;

/** What is read of an operation. */
export type StoredRow = Pick<OperationRow, (typeof storedColumns)[number]>;
