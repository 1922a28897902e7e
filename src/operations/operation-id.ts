import { randomBytes } from "node:crypto";
import { invalidField } from "./errors.ts";

const idPattern = /^op_[a-z0-9_]{1,125}$/;
const typePattern = /^[a-z][a-z0-9_]{0,62}$/;
const alphabet = "0123456789abcdefghijklmnopqrstuv";

/** Makes an operation id: `op_<type>_<YYYYMMDD_HHMMSS>_<random>`, the time in UTC, 60 random bits in base 32. */
export function createOperationId(operationType: string, nowMs: number): string {
  const [date, time] = new Date(nowMs).toISOString().replaceAll(/[-:]/g, "").slice(0, 15).split("T");
  let random = "";
  for (const byte of randomBytes(12)) {
    random += alphabet[byte & 31];
  }
  return `op_${operationType}_${date}_${time}_${random}`;
}

/** Refuses what cannot be an operation id, naming the field it came in. */
export function checkOperationId(operationId: string, field = "operation_id"): void {
  if (!idPattern.test(operationId)) {
    throw invalidField(
      field,
      `${quote(operationId)} is not an operation id; they look like "op_training_20250120_093000_4k2m8x"`,
    );
  }
}

/** Whether the text can be the type of an operation: lower case letters, digits and underscores, at most 63. */
export function isOperationType(operationType: string): boolean {
  return typePattern.test(operationType);
}

/** Quotes what a caller sent, shortened, for a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
