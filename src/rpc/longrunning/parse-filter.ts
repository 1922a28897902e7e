import type { CallError } from "../../operations/errors.ts";
import { quote } from "../../operations/operation-id.ts";
import { type Comparator, filterTokens, refusal, type Token } from "./filter-tokens.ts";

/** What a filter says. */
export type FilterNode =
  | { readonly kind: "and" | "or"; readonly nodes: readonly FilterNode[] }
  | { readonly kind: "not"; readonly node: FilterNode }
  | Member
  | Comparison;

/** A field, or a value to compare with: texts with dots between them. */
export interface Member {
  readonly kind: "member";
  readonly path: readonly [FilterText, ...FilterText[]];
}

/** A field and what it is compared with. */
export interface Comparison {
  readonly kind: "comparison";
  readonly member: Member;
  readonly comparator: Comparator;
  /** A value, or several with AND, OR and NOT between them. */
  readonly arg: FilterNode;
  /** Where the comparator is, for messages. */
  readonly position: number;
}

/** A text of a filter. */
export interface FilterText extends Pick<Token, "text" | "wildcards" | "position"> {
  readonly quoted: boolean;
}

/** How deep parentheses may be nested, and how many fields and values a filter may name. */
const maximumDepth = 32;
const maximumMembers = 128;
const keywords: readonly string[] = ["AND", "OR", "NOT"];
const comparators: ReadonlySet<Token["kind"]> = new Set<Comparator>(["=", "!=", "<", "<=", ">", ">=", ":"]);

/**
 * Reads a filter in the grammar of AIP-160 (https://google.aip.dev/assets/misc/ebnf-filtering.txt); undefined when it is
 * empty. A sequence means AND. Functions are refused. Throws CallError INVALID_FIELD and nothing else.
 */
export function parseFilter(filter: string): FilterNode | undefined {
  const tokens = filterTokens(filter);
  return tokens.length === 1 ? undefined : new FilterParser(tokens).parse();
}

/** One method for each rule of the grammar, named after it. */
class FilterParser {
  readonly #tokens: Token[];
  #at = 0;
  #depth = 0;
  #members = 0;

  constructor(tokens: Token[]) {
    this.#tokens = tokens;
  }

  parse(): FilterNode {
    const node = this.#expression();
    if (this.#token.kind !== "end") {
      throw this.#unexpected("AND, OR or the end");
    }
    return node;
  }

  get #token(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #expression(): FilterNode {
    const nodes = [this.#factor()];
    // AND between sequences and the white space between factors mean the same.
    while (this.#isFactorNext()) {
      if (isKeyword(this.#token, "AND")) {
        this.#keyword();
      }
      nodes.push(this.#factor());
    }
    return nodes.length === 1 && nodes[0] ? nodes[0] : { kind: "and", nodes };
  }

  #isFactorNext(): boolean {
    const { kind, spaced } = this.#token;
    if (kind === "end" || kind === ")") {
      return false;
    }
    if (!spaced || (kind !== "text" && kind !== "string" && kind !== "(")) {
      throw this.#unexpected("white space, AND or OR", isComparator(kind) ? "; put texts that have one in quotes" : "");
    }
    return true;
  }

  #factor(): FilterNode {
    const nodes = [this.#term()];
    while (isKeyword(this.#token, "OR")) {
      this.#keyword();
      nodes.push(this.#term());
    }
    return nodes.length === 1 && nodes[0] ? nodes[0] : { kind: "or", nodes };
  }

  #term(): FilterNode {
    const token = this.#token;
    if (isKeyword(token, "NOT")) {
      this.#keyword();
      return { kind: "not", node: this.#simple() };
    }
    if (token.kind === "text" && token.text.startsWith("-")) {
      this.#minus(token);
      return { kind: "not", node: this.#simple() };
    }
    return this.#simple();
  }

  #simple(): FilterNode {
    return this.#token.kind === "(" ? this.#composite() : this.#restriction();
  }

  #composite(): FilterNode {
    const { position } = this.#next();
    if (++this.#depth > maximumDepth) {
      throw refusal(position, `parentheses are nested too deep; at most ${maximumDepth} levels are allowed`);
    }
    const node = this.#expression();
    if (this.#token.kind !== ")") {
      throw this.#unexpected(`")" to close the one at character ${position + 1}`);
    }
    this.#next();
    this.#depth--;
    return node;
  }

  #restriction(): FilterNode {
    const member = this.#member("a field");
    const { kind, position } = this.#token;
    if (!isComparator(kind)) {
      return member;
    }
    this.#next();
    const arg = this.#token.kind === "(" ? this.#composite() : this.#member("a value");
    return { kind: "comparison", member, comparator: kind, arg, position };
  }

  #member(what: string): Member {
    const first = this.#token;
    if (isKeyword(first)) {
      throw refusal(first.position, `expected ${what}, found ${first.text}; put it in quotes if it is meant as a text`);
    }
    const path: [FilterText, ...FilterText[]] = [this.#text(what)];
    while (this.#token.kind === ".") {
      this.#next();
      path.push(this.#text("a field"));
    }
    if (this.#token.kind === "(" && !this.#token.spaced) {
      const name = path.map(({ text }) => text).join(".");
      throw refusal(first.position, `${quote(name)} is called as a function, and there are none`);
    }
    if (++this.#members > maximumMembers) {
      throw refusal(first.position, `too many fields and values; at most ${maximumMembers} are allowed`);
    }
    return { kind: "member", path };
  }

  #text(what: string): FilterText {
    const { kind, text, wildcards, position } = this.#token;
    if (kind !== "text" && kind !== "string") {
      throw this.#unexpected(what);
    }
    this.#next();
    return { text, wildcards, position, quoted: kind === "string" };
  }

  /** Takes a keyword, after which the grammar wants white space: without it, it would be the name of a function. */
  #keyword(): void {
    const { text, position } = this.#next();
    if (!this.#token.spaced) {
      throw refusal(position, `${text} needs white space after it`);
    }
  }

  /** Takes the minus sign off the front of a text. */
  #minus({ text, wildcards, position }: Token): void {
    const rest = {
      text: text.slice(1),
      wildcards: wildcards.map((index) => index - 1),
      position: position + 1,
      spaced: false,
    };
    if (rest.text !== "") {
      this.#tokens[this.#at] = { kind: "text", ...rest };
      return;
    }
    this.#next();
    if (this.#token.spaced) {
      throw refusal(position, '"-" needs what it negates right after it');
    }
  }

  #next(): Token {
    const token = this.#token;
    this.#at++;
    return token;
  }

  #unexpected(expected: string, hint = ""): CallError {
    const { kind, text, position } = this.#token;
    const found = kind === "end" ? "the end" : quote(text);
    return refusal(position, `expected ${expected}, found ${found}${hint}`);
  }
}

function isKeyword({ kind, text }: Token, keyword?: string): boolean {
  return kind === "text" && (keyword === undefined ? keywords.includes(text) : text === keyword);
}

function isComparator(kind: Token["kind"]): kind is Comparator {
  return comparators.has(kind);
}
