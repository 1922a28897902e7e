import { stripVTControlCharacters } from "node:util";

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });
// East Asian wide and fullwidth forms, and what is shown as an emoji, take two columns.
const wide =
  /\p{Emoji_Presentation}|\uFE0F|[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}]/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with a control character.
const color = /(\u001b\[[\d;]*m)/;
const resetColor = "\u001b[0m";

/**
 * Text that came over the network, fit for a terminal: without escape sequences, and with spaces for line breaks and
 * every other character that would move the cursor or turn the writing around.
 */
export function plainText(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]+/gu, " ");
}

/** Cuts a line to so many columns, with "…" where something is missing. Colours take no room and end with the line. */
export function fitLine(line: string, columns: number): string {
  const parts = line.split(color);
  // Every second part is a colour.
  const total = parts.reduce((sum, part, index) => sum + (index % 2 === 0 ? textColumns(part) : 0), 0);
  if (total <= columns) return line;
  let left = columns - 1;
  let kept = "";
  for (const [index, part] of parts.entries()) {
    if (index % 2 === 1) {
      kept += part;
      continue;
    }
    for (const { segment } of graphemes.segment(part)) {
      left -= graphemeColumns(segment);
      if (left < 0) return `${kept}…${index > 0 ? resetColor : ""}`;
      kept += segment;
    }
  }
  return kept;
}

/** Columns a text without colours takes. */
export function textColumns(text: string): number {
  let columns = 0;
  for (const { segment } of graphemes.segment(text)) columns += graphemeColumns(segment);
  return columns;
}

function graphemeColumns(grapheme: string): number {
  if (wide.test(grapheme)) return 2;
  return /^[\p{Mn}\p{Me}\p{Cf}]+$/u.test(grapheme) ? 0 : 1;
}
