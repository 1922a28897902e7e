import type { Selectable } from "kysely";
import type { StoreTables } from "./schema.ts";

/** The columns an operation is read from. Apart from what reads them, which the thread that writes need not load. */
export const storedColumns = ["info", "request", "payload_hash", "dispatched", "owner", "traceparent"] as const;

/** What is written of an operation. */
export type OperationRow = Selectable<StoreTables["operations"]>;

/** What is read of an operation. */
export type StoredRow = Pick<OperationRow, (typeof storedColumns)[number]>;
