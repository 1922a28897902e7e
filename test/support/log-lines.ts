import { type Logger, pino } from "pino";

/** A log whose lines a test reads. */
export interface LogLines {
  readonly log: Logger;
  readonly lines: string[];
}

/** Makes a log at the finest level. */
export function logLines(): LogLines {
  const lines: string[] = [];
  return { log: pino({ level: "trace" }, { write: (line) => void lines.push(line) }), lines };
}
