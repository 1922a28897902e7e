import { describe, expect, test } from "vitest";
import { LiveDisplay } from "../../src/cli/live-display.ts";

/** A terminal that knows the few sequences a live display needs; anything else would show up as text. */
function testTerminal() {
  const rows: string[] = [""];
  let row = 0;
  let writes = 0;
  return {
    rows,
    writes: () => writes,
    type: (text: string) => {
      rows[row] += text;
    },
    write: (text: string) => {
      writes += 1;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with a control character.
      for (const [piece, up] of text.matchAll(/\u001b\[(\d+)A|\u001b\[2K|\u001b\[J|\r|\n|[^\u001b\r\n]+/g)) {
        if (up !== undefined) row -= Number(up);
        else if (piece === "\u001b[2K") rows[row] = "";
        else if (piece === "\u001b[J") rows.splice(row, rows.length, "");
        else if (piece === "\n") {
          row += 1;
          rows[row] ??= "";
        } else if (piece !== "\r") rows[row] += piece;
      }
    },
  };
}

describe("a live display", () => {
  test("draws over what it drew before, in one write", () => {
    const terminal = testTerminal();
    const display = new LiveDisplay(terminal);
    display.draw(["one", "two"]);
    display.draw(["1", "2"]);
    expect(terminal.rows).toEqual(["1", "2", ""]);
    expect(terminal.writes()).toBe(2);
  });

  test("wipes the lines it does not need any more, and gets more where it does", () => {
    const terminal = testTerminal();
    const display = new LiveDisplay(terminal);
    display.draw(["one", "two", "three"]);
    display.draw(["1"]);
    expect(terminal.rows).toEqual(["1", ""]);
    display.draw(["1", "2"]);
    expect(terminal.rows).toEqual(["1", "2", ""]);
  });

  test("wipes what was typed below it", () => {
    const terminal = testTerminal();
    const display = new LiveDisplay(terminal);
    display.draw(["one"]);
    terminal.type("^C");
    display.draw(["1"]);
    expect(terminal.rows).toEqual(["1", ""]);
  });

  test("leaves alone what stands above it", () => {
    const terminal = testTerminal();
    terminal.write("before\n");
    const display = new LiveDisplay(terminal);
    display.draw(["one"]);
    display.draw(["1"]);
    expect(terminal.rows).toEqual(["before", "1", ""]);
  });
});
