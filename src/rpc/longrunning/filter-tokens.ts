import { type CallError, invalidField } from "../../operations/errors.ts";

/** A piece of a filter. */
export interface Token {
  readonly kind: "text" | "string" | "(" | ")" | "," | "." | Comparator | "end";
  /** What it says, without quotes and escapes. */
  readonly text: string;
  /** Where `text` has a "*" that stands for any characters. */
  readonly wildcards: readonly number[];
  /** Where it begins in the filter. */
  readonly position: number;
  /** Whether white space comes before it. */
  readonly spaced: boolean;
}

/** How a filter compares. ":" is AIP-160's "has". */
export type Comparator = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":";

/** The longest filter, in UTF-16 code units. */
const maximumLength = 4_096;

/** What stands for itself, and texts as they may be written without quotes. */
const punctuation = /[(),.]|[<>!]=|[<>=:]/y;
const unquoted = /[^\s(),.<>!=:"'\\]+/y;
const whiteSpace = /\s*/y;
/** What a backslash may come before in a string. */
const escapable = "\\\"'*";

/** Splits a filter. Throws CallError INVALID_FIELD. The last token is the end. */
export function filterTokens(filter: string): Token[] {
  if (filter.length > maximumLength) {
    throw refusal(maximumLength, `the filter goes on; at most ${maximumLength} characters are allowed`);
  }
  const tokens: Token[] = [];
  for (let position = 0; ; ) {
    const start = position + matchAt(whiteSpace, filter, position).length;
    const token = tokenAt(filter, start, start > position || start === 0);
    tokens.push(token);
    if (token.kind === "end") {
      return tokens;
    }
    position = start + lengthOf(token, filter);
  }
}

/** The error for a filter that is wrong at a position, counted from 0. */
export function refusal(position: number, why: string): CallError {
  return invalidField("filter", `at character ${position + 1}: ${why}`);
}

function tokenAt(filter: string, position: number, spaced: boolean): Token {
  const at = { position, spaced };
  const first = filter[position];
  if (first === undefined) {
    return { kind: "end", text: "", wildcards: [], ...at };
  }
  if (first === '"' || first === "'") {
    return { kind: "string", ...unescaped(contentOf(filter, position), position + 1), ...at };
  }
  const sign = matchAt(punctuation, filter, position);
  if (sign !== "") {
    return { kind: sign as Token["kind"], text: sign, wildcards: [], ...at };
  }
  const text = matchAt(unquoted, filter, position);
  if (text === "") {
    const hint = first === "!" ? 'write "!=" or "NOT"' : "put texts that have one in quotes";
    throw refusal(position, `unexpected ${JSON.stringify(first)}; ${hint}`);
  }
  return { kind: "text", text, wildcards: wildcardsOf(text), ...at };
}

function lengthOf({ kind, text, position }: Token, filter: string): number {
  return kind === "string" ? contentOf(filter, position).length + 2 : text.length;
}

/** What is between the quote at a position and the one that closes it. */
function contentOf(filter: string, position: number): string {
  for (let end = position + 1; end < filter.length; end++) {
    if (filter[end] === "\\") {
      end++;
    } else if (filter[end] === filter[position]) {
      return filter.slice(position + 1, end);
    }
  }
  throw refusal(position, "the string is not closed");
}

function unescaped(content: string, position: number): Pick<Token, "text" | "wildcards"> {
  let text = "";
  const wildcards: number[] = [];
  for (let index = 0; index < content.length; index++) {
    let character = content[index] ?? "";
    if (character === "*") {
      wildcards.push(text.length);
    } else if (character === "\\") {
      character = content[++index] ?? "";
      if (!escapable.includes(character)) {
        throw refusal(position + index - 1, `unknown escape \\${character}; there are \\\\, \\", \\' and \\*`);
      }
    }
    text += character;
  }
  return { text, wildcards };
}

function wildcardsOf(text: string): number[] {
  return [...text.matchAll(/\*/g)].map(({ index }) => index);
}

function matchAt(pattern: RegExp, text: string, position: number): string {
  pattern.lastIndex = position;
  return pattern.exec(text)?.[0] ?? "";
}
