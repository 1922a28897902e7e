/** Where a live display draws. */
export interface Terminal {
  write(text: string): unknown;
}

/** Redraws a few lines in place, with one write each time so that nothing flickers. */
export class LiveDisplay {
  readonly #terminal: Terminal;
  #drawn = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Replaces what was drawn before. No line may be wider than the terminal. */
  draw(lines: readonly string[]): void {
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : "";
    const text = lines.map((line) => `\u001b[2K${line}\n`).join("");
    // What the last drawing had more of is wiped, and what was typed since.
    this.#terminal.write(`${up}\r${text}\u001b[J`);
    this.#drawn = lines.length;
  }
}
