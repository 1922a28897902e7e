import { randomBytes } from "node:crypto";

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

/** Quotes what a caller sent, shortened, for a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
