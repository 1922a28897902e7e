import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { watchFile } from "../../src/files/watched-file.ts";
import { testFile } from "../support/access-files.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

function watchNumber(paths: readonly string[]) {
  const clock = { nowMs: 0 };
  const lines: string[] = [];
  const log = {
    info: (about: object, message: string) => void lines.push(`info ${message} ${JSON.stringify(about)}`),
    error: (about: object, message: string) => void lines.push(`error ${message} ${JSON.stringify(about)}`),
  };
  const parse = (...contents: string[]) => {
    const numbers = contents.map(Number);
    if (numbers.some(Number.isNaN)) throw new Error("holds no number");
    return { sum: numbers.reduce((sum, one) => sum + one, 0) };
  };
  const file = watchFile({ paths, what: "the number", parse, log, now: () => clock.nowMs });
  return { file, clock, lines };
}

test("a file that has changed is read again, at most once a second", async () => {
  const { path, write } = await testFile("number", "1");
  const { file, clock, lines } = watchNumber([path]);
  expect(file.current()).toBe(file.current());
  write("22");
  clock.nowMs = 999;
  expect(file.current()).toEqual({ sum: 1 });
  clock.nowMs = 1_000;
  expect(file.current()).toEqual({ sum: 22 });
  expect(lines).toEqual([expect.stringContaining("info the number was read again")]);
});

test("a version that cannot be used is logged once, and the one before stays", async () => {
  const { path, write } = await testFile("number", "1");
  const { file, clock, lines } = watchNumber([path]);
  const before = file.current();
  write("a hunter2");
  for (let second = 1; second < 5; second++) {
    clock.nowMs = second * 1_000;
    expect(file.current()).toBe(before);
  }
  rmSync(path);
  clock.nowMs = 6_000;
  expect(file.current()).toBe(before);
  expect(lines).toEqual([
    expect.stringMatching(/^error the number has changed and cannot be used.*holds no number/),
    expect.stringMatching(/^error the number has changed and cannot be used.*does not exist/),
  ]);
  write("7");
  clock.nowMs = 7_000;
  expect(file.current()).toEqual({ sum: 7 });
});

test("a file that is replaced by another one of the same size is read again", async () => {
  const { path } = await testFile("number", "1");
  const { file, clock } = watchNumber([path]);
  const next = join(await temporaryDirectory(), "next");
  writeFileSync(next, "2");
  renameSync(next, path);
  clock.nowMs = 1_000;
  expect(file.current()).toEqual({ sum: 2 });
});

test("files that belong together are read together", async () => {
  const first = await testFile("first", "1");
  const second = await testFile("second", "2");
  const { file, clock } = watchNumber([first.path, second.path]);
  expect(file.current()).toEqual({ sum: 3 });
  second.write("40");
  clock.nowMs = 1_000;
  expect(file.current()).toEqual({ sum: 41 });
});

test("a first version that cannot be used is an error that names the file", async () => {
  const missing = join(await temporaryDirectory(), "missing");
  expect(() => watchNumber([missing])).toThrow(`the number (${missing}): does not exist`);
  const { path } = await testFile("number", "x");
  expect(() => watchNumber([path])).toThrow(`the number (${path}): holds no number`);
});
