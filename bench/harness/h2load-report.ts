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

/** Reads the log of single calls: start in microseconds since the epoch, HTTP status, microseconds to the answer's end. */
export function parseCallLog(log: string): { readonly latencies: number[]; readonly endedAtMs: number } {
  const calls = log
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t").map(Number) as [start: number, status: number, latency: number]);
  return {
    latencies: calls.map(([, , latency]) => latency),
    endedAtMs: calls.reduce((latest, [start, , latency]) => Math.max(latest, start + latency), 0) / 1_000,
  };
}
