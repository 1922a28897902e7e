/** What h2load says of its calls. */
export interface LoadReport {
  readonly requested: number;
  readonly succeeded: number;
  /** Bytes in DATA frames of all answers. */
  readonly dataBytes: number;
  readonly seconds: number;
}

/** Reads what h2load prints at its end. Throws when it is something else. */
export function parseReport(text: string): LoadReport {
  const requests = /requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded/.exec(text);
  const data = /\((\d+)\) data$/m.exec(text);
  const finished = /finished in ([\d.]+)(us|ms|s|m)\b/.exec(text);
  if (!requests || !data || !finished) {
    throw new Error(`h2load says something else than expected:\n${text}`);
  }
  return {
    requested: Number(requests[1]),
    succeeded: Number(requests[2]),
    dataBytes: Number(data[1]),
    seconds: Number(finished[1]) * ({ us: 1e-6, ms: 1e-3, s: 1, m: 60 }[finished[2] ?? "s"] ?? 1),
  };
}

/** Reads the log of single calls: start in microseconds, HTTP status, microseconds to the end of the answer. */
export function parseLatencies(log: string): number[] {
  return log
    .trimEnd()
    .split("\n")
    .map((line) => Number(line.split("\t")[2]));
}
