import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CallError } from "../../../src/operations/errors.ts";
import {
  type FilterNode,
  type FilterText,
  type Member,
  parseFilter,
} from "../../../src/rpc/longrunning/parse-filter.ts";
import { printFilter } from "./print-filter.ts";

/** The filter with all parentheses that its precedence puts into it. */
function grouped(filter: string): string {
  const node = parseFilter(filter);
  return node ? shown(node) : "";
}

function shown(node: FilterNode): string {
  switch (node.kind) {
    case "and":
      return `(${node.nodes.map(shown).join(" & ")})`;
    case "or":
      return `(${node.nodes.map(shown).join(" | ")})`;
    case "not":
      return `!${shown(node.node)}`;
    case "comparison":
      return `${shown(node.member)}${node.comparator}${shown(node.arg)}`;
    case "member":
      return node.path.map(({ text, quoted }) => (quoted ? `'${text}'` : text)).join(".");
  }
}

describe("the grammar", () => {
  test.each([
    ["", ""],
    [" \t\n", ""],
    ["a", "a"],
    ["a b AND c AND d", "(a & b & c & d)"],
    ["(a b) AND c AND d", "((a & b) & c & d)"],
    ["New York Giants OR Yankees", "(New & York & (Giants | Yankees))"],
    ["a < 10 OR a >= 100", "(a<10 | a>=100)"],
    ["a AND b OR c", "(a & (b | c))"],
    ["a OR b AND c OR d", "((a | b) & (c | d))"],
    ["NOT (a OR b)", "!(a | b)"],
    ['-file:".java"', "!file:'.java'"],
    ["-(a)", "!a"],
    ["NOT a OR -b", "(!a | !b)"],
    ["a = -30", "a=-30"],
    ["package=com.google", "package=com.google"],
    ["msg != 'hello'", "msg!='hello'"],
    ["1 > 0", "1>0"],
    ["2.5 >= 2.4", "2.5>=2.4"],
    ["map:key", "map:key"],
    ["expr.type_map.1.type", "expr.type_map.1.type"],
    ["a.NOT.AND.OR = b", "a.NOT.AND.OR=b"],
    ['a."b c".d:*', "a.'b c'.d:*"],
    ["a=(b OR c)", "a=(b | c)"],
    ["a = (b AND NOT c) d", "(a=(b & !c) & d)"],
    ["a<=b", "a<=b"],
    ["not and or", "(not & and & or)"],
    ["a\nAND\tb", "(a & b)"],
    ["(((a)))", "a"],
    ['"say \\"hi\\" \\\\ \\\'"', "'say \"hi\" \\ ''"],
    ["'it is \"so\"'", "'it is \"so\"'"],
    ["\u{1F680}=ü", "\u{1F680}=ü"],
  ])("reads %j", (filter, wanted) => {
    expect(grouped(filter)).toBe(wanted);
  });

  test("keeps the stars that stand for any characters apart from others", () => {
    const wildcardsOf = (filter: string) => (parseFilter(filter) as Member).path.map(({ wildcards }) => wildcards);
    expect(wildcardsOf('"*a*"')).toEqual([[0, 2]]);
    expect(wildcardsOf('"\\*a*"')).toEqual([[2]]);
    expect(wildcardsOf("*.a*")).toEqual([[0], [1]]);
  });
});

describe("what is no filter is refused at its position:", () => {
  test.each([
    ["a =", "at character 4: expected a value, found the end"],
    ["= b", 'at character 1: expected a field, found "="'],
    ["a AND", "at character 3: AND needs white space after it"],
    ["a AND ", "at character 7: expected a field, found the end"],
    ["a AND AND b", "at character 7: expected a field, found AND; put it in quotes if it is meant as a text"],
    ["OR a", "at character 1: expected a field, found OR; put it in quotes if it is meant as a text"],
    ["a = NOT", "at character 5: expected a value, found NOT; put it in quotes if it is meant as a text"],
    ["NOT NOT a", "at character 5: expected a field, found NOT; put it in quotes if it is meant as a text"],
    ["NOT(a)", "at character 1: NOT needs white space after it"],
    ["a AND(b)", "at character 3: AND needs white space after it"],
    ["- a", 'at character 1: "-" needs what it negates right after it'],
    ["(a", 'at character 3: expected ")" to close the one at character 1, found the end'],
    ["a)", 'at character 2: expected AND, OR or the end, found ")"'],
    ["()", 'at character 2: expected a field, found ")"'],
    ["(a)b", 'at character 4: expected white space, AND or OR, found "b"'],
    ["a, b", 'at character 2: expected white space, AND or OR, found ","'],
    ["a . . b", 'at character 5: expected a field, found "."'],
    ["a == b", 'at character 4: expected a value, found "="'],
    ["a ! b", 'at character 3: unexpected "!"; write "!=" or "NOT"'],
    ["a = b\\c", 'at character 6: unexpected "\\\\"; put texts that have one in quotes'],
    ['a = "b', "at character 5: the string is not closed"],
    ['a = "b\\', "at character 5: the string is not closed"],
    ['a = "b\\n"', "at character 7: unknown escape \\n; there are \\\\, \\\", \\' and \\*"],
    ["regex(m.key, '^.*prod.*$')", 'at character 1: "regex" is called as a function, and there are none'],
    ["a = math.mem('30mb')", 'at character 5: "math.mem" is called as a function, and there are none'],
  ])("%j", (filter, message) => {
    expect(() => parseFilter(filter)).toThrow(
      expect.objectContaining({
        reason: "INVALID_FIELD",
        message: `filter: ${message}`,
        details: { violations: [{ field: "filter", description: message }] },
      }),
    );
  });

  test("in few words, for they travel in headers", () => {
    const long = "x".repeat(4_000);
    for (const filter of [`${long}()`, `a=b"${long}"`, `(a)${long}`, `a=(b OR ${long}(c))`]) {
      expect(() => parseFilter(filter)).toThrow(
        expect.objectContaining({ message: expect.stringMatching(/^.{10,250}$/) }),
      );
    }
  });

  test("one that is too long, too deep or has too many parts", () => {
    expect(grouped(`a${" ".repeat(4_095)}`)).toBe("a");
    expect(() => parseFilter(" ".repeat(4_097))).toThrow(/at most 4096 characters/);
    expect(grouped(`${"(".repeat(32)}a${")".repeat(32)}`)).toBe("a");
    expect(() => parseFilter(`${"(".repeat(33)}a${")".repeat(33)}`)).toThrow(/at character 33: .* at most 32 levels/);
    expect(() => parseFilter("(a) ".repeat(128))).not.toThrow();
    expect(() => parseFilter("a ".repeat(129))).toThrow(/at character 257: .* at most 128 are allowed/);
  });
});

/** Pieces that are likely to make sense together. */
const pieces = fc.constantFrom(
  ..."( ) , . = != < <= > >= : - * \" ' \\ AND OR NOT status labels done a RUNNING true ".split(" "),
  " ",
  " AND ",
  " OR ",
  "NOT ",
  '"x*"',
  "create_time",
  '"2026-01-20T09:30:00Z"',
);

test("any text is read or refused as a filter, and never ends otherwise", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.array(pieces, { maxLength: 60 }).map((all) => all.join("")),
      ),
      (text) => {
        try {
          parseFilter(text);
        } catch (error) {
          expect(error).toBeInstanceOf(CallError);
          expect(error).toMatchObject({ reason: "INVALID_FIELD", details: { violations: [{ field: "filter" }] } });
        }
      },
    ),
    { numRuns: 3_000 },
  );
});

const unquotedText: fc.Arbitrary<FilterText> = fc
  .stringMatching(/^[a-zA-Z0-9_/*][a-zA-Z0-9_/*-]{0,8}$/)
  .map((text) => ({
    text: /^(AND|OR|NOT)$/.test(text) ? `${text}_` : text,
    quoted: false,
    wildcards: [...text.matchAll(/\*/g)].map(({ index }) => index),
    position: 0,
  }));
const quotedText: fc.Arbitrary<FilterText> = fc
  .tuple(fc.string({ unit: fc.constantFrom("a", "*", '"', "'", "\\", " ", "(", "AND", "\n") }), fc.array(fc.boolean()))
  .map(([text, chosen]) => ({
    text,
    quoted: true,
    wildcards: [...text.matchAll(/\*/g)].map(({ index }) => index).filter((_, index) => chosen[index]),
    position: 0,
  }));
const member: fc.Arbitrary<Member> = fc
  .tuple(fc.oneof(unquotedText, quotedText), fc.array(fc.oneof(unquotedText, quotedText), { maxLength: 2 }))
  .map(([first, rest]) => ({ kind: "member", path: [first, ...rest] }));
const filterNode = fc.letrec<{ node: FilterNode; arg: FilterNode }>((tie) => {
  const several = (key: "node" | "arg") =>
    fc
      .tuple(fc.constantFrom("and" as const, "or" as const), fc.array(tie(key), { minLength: 2, maxLength: 3 }))
      .map(([kind, nodes]) => ({ kind, nodes }));
  const negated = (key: "node" | "arg") => tie(key).map((node) => ({ kind: "not" as const, node }));
  const comparison = fc.record({
    kind: fc.constant("comparison" as const),
    member,
    comparator: fc.constantFrom("=", "!=", "<", "<=", ">", ">=", ":"),
    arg: tie("arg"),
    position: fc.constant(0),
  }) as fc.Arbitrary<FilterNode>;
  return {
    node: fc.oneof({ maxDepth: 5, withCrossShrink: true }, member, comparison, several("node"), negated("node")),
    arg: fc.oneof({ maxDepth: 5, withCrossShrink: true }, member, several("arg"), negated("arg")),
  };
}).node;

function withoutPositions(node: FilterNode): unknown {
  return JSON.parse(JSON.stringify(node, (key, value) => (key === "position" ? undefined : value)));
}

test("a filter that is printed and read again is the same", () => {
  fc.assert(
    fc.property(filterNode, (node) => {
      const printed = printFilter(node);
      fc.pre(printed.length < 4_096 && !/\({20}/.test(printed));
      const again = parseFilter(printed);
      expect(again && withoutPositions(again), printed).toEqual(withoutPositions(node));
    }),
    { numRuns: 500 },
  );
});
