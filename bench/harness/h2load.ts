import { execFile, spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { cores } from "./cores.ts";
import { type LoadReport, parseCallLog, parseReport } from "./h2load-report.ts";
import { temporaryDirectory } from "./leftovers.ts";
import type { Target } from "./target.ts";

/** How much load, and how it arrives. */
export interface Load {
  readonly calls: number;
  readonly connections: number;
  /** Calls open at a time on each connection. */
  readonly streams: number;
  /** Calls per second of all connections together. Default: as fast as answers come. */
  readonly rate?: number;
  /** Bytes by which right answers may differ from the checked one, beside a tenth of its length. Default 8. */
  readonly differBy?: number;
}

/** A report with the time of each call. */
export interface LoadRun extends LoadReport {
  /** In microseconds, in the order of the answers. */
  readonly latencies: readonly number[];
  /** When the last answer had ended, in milliseconds since the epoch. */
  readonly endedAtMs: number;
}

/** h2load's version, "1.52.0"; undefined where it is not installed. */
export function h2loadVersion(): string | undefined {
  return /nghttp2\/(\S+)/.exec(spawnSync("h2load", ["--version"], { encoding: "utf8" }).stdout ?? "")?.[1];
}

/**
 * Repeats a call from the load's core. Throws when not every call succeeded, or when the answers do not have the length
 * of the one that was checked: an error in gRPC's trailers counts as success in HTTP.
 */
export async function runH2load(target: Target, load: Load, answerBytes: number): Promise<LoadRun> {
  const { calls, connections, streams, rate, differBy = 8 } = load;
  const directory = temporaryDirectory();
  try {
    const [body, log] = [join(directory, "body"), join(directory, "log")];
    writeFileSync(body, target.body);
    const { stdout } = await promisify(execFile)("taskset", [
      ...["-c", cores.load, "h2load"],
      ...["-n", `${calls}`, "-c", `${connections}`, "-m", `${streams}`],
      ...(rate === undefined ? [] : ["--rps", `${rate / connections}`]),
      ...["-d", body, `--log-file=${log}`],
      ...Object.entries(target.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
      target.url,
    ]);
    const report = parseReport(stdout);
    if (report.succeeded !== calls || report.requested !== calls) {
      throw new Error(`of ${calls} calls of ${target.url} ${report.succeeded} succeeded:\n${stdout}`);
    }
    const meanBytes = report.dataBytes / calls;
    if (Math.abs(meanBytes - answerBytes) > differBy + answerBytes * 0.1) {
      throw new Error(
        `answers of ${target.url} have ${meanBytes} bytes, not ${answerBytes} as the one that was checked`,
      );
    }
    return { ...report, ...parseCallLog(readFileSync(log, "utf8")) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
