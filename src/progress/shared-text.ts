const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Writes text as UTF-8, as much as the area holds, cut at a code point boundary. Answers the bytes written. The area
 * may lie on shared memory.
 */
export function writeText(text: string, area: Uint8Array): number {
  return encoder.encodeInto(text, area).written;
}

/** Like writeText, but answers -1 when the area is too small for the whole text. */
export function writeWholeText(text: string, area: Uint8Array): number {
  const { read, written } = encoder.encodeInto(text, area);
  return read === text.length ? written : -1;
}

/** Reads UTF-8 from memory that may be shared. */
export function readText(area: Uint8Array, bytes: number): string {
  return decoder.decode(area.slice(0, bytes));
}
