import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Code } from "../gen/google/rpc/code_pb.ts";
import { type CallErrorKind, callErrors } from "../src/operations/call-reasons.ts";
import { failureReasons } from "../src/operations/operation-errors.ts";

const page = readFileSync(join(import.meta.dirname, "..", "docs", "errors.md"), "utf8");

function nameOf(code: Code): string | undefined {
  return Object.entries(Code).find(([, value]) => value === code)?.[0];
}

/** The rows of the table on the page whose first row begins like this. */
function rowsBelow(head: string): string[] {
  const lines = page.slice(page.indexOf(head)).split("\n");
  const end = lines.findIndex((line) => !line.startsWith("|"));
  return lines.slice(2, end);
}

test("the page about errors has the catalogue of reasons, row by row", () => {
  const rows = Object.entries<CallErrorKind>(callErrors).map(([reason, { code, meaning, advice, retryAfterMs }]) => {
    const retry = retryAfterMs === undefined ? "no" : `after ${retryAfterMs} ms`;
    return `| ${reason} | ${nameOf(code)} | ${meaning} | ${advice} | ${retry} |`;
  });
  expect(rowsBelow("| reason of an error |")).toEqual(rows);
});

test("the page about errors has every reason the registry gives a FAILED operation, row by row", () => {
  const rows = Object.entries(failureReasons).map(
    ([reason, { code, meaning }]) => `| ${reason} | ${nameOf(code)} | ${meaning} |`,
  );
  expect(rowsBelow("| reason of a FAILED operation |")).toEqual(rows);
});
