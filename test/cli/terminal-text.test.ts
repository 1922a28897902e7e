import { describe, expect, test } from "vitest";
import { fitLine, plainText, textColumns } from "../../src/cli/terminal-text.ts";

const red = "\u001b[31m";
const reset = "\u001b[0m";

describe("text from the network", () => {
  test("loses everything that could steer the terminal", () => {
    expect(plainText("a\u001b[2Jb\u001b]0;title\u0007c")).toBe("abc");
    expect(plainText("one\r\ntwo\tthree\u0000")).toBe("one two three ");
    expect(plainText("a\u202Eb\u2028c\u009B2J")).not.toMatch(/[\u202E\u2028\u009B]/);
  });

  test("keeps what is only text", () => {
    expect(plainText("Zoë 日本 👩‍🚀 10 %")).toBe("Zoë 日本 👩‍🚀 10 %");
  });
});

describe("columns", () => {
  test.each([
    ["abc", 3],
    ["日本", 4],
    ["é", 1],
    ["e\u0301", 1],
    ["👩‍🚀", 2],
    ["█▁…", 3],
    ["", 0],
  ])("%j takes %i", (text, columns) => {
    expect(textColumns(text)).toBe(columns);
  });
});

describe("a line", () => {
  test("that fits is left as it is", () => {
    expect(fitLine("abc", 3)).toBe("abc");
    expect(fitLine(`${red}abc${reset}`, 3)).toBe(`${red}abc${reset}`);
  });

  test("that does not is cut and says so", () => {
    expect(fitLine("abcd", 3)).toBe("ab…");
    expect(fitLine("日本語", 4)).toBe("日…");
  });

  test("that is cut in a colour ends the colour", () => {
    expect(fitLine(`x${red}abcd${reset}`, 3)).toBe(`x${red}a…${reset}`);
  });
});
