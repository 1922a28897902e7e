import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { CancellationCoordinator } from "../../src/cancellation/cancellation-coordinator.ts";
import { callerRuns } from "../../src/operations/caller-runs.ts";
import type { OperationExecutor } from "../../src/operations/operation-executor.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import type { OperationsOptions } from "../../src/operations/operations-options.ts";
import { OperationsService } from "../../src/operations/operations-service.ts";
import { soleStanding } from "../../src/operations/standing.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** What a test gives its registry. */
export interface TestRegistryOptions {
  /** Default: a new one. */
  readonly dataDir?: string;
  /** Default: training, data_load, backtesting and custom, run by their creator. */
  readonly executors?: Readonly<Record<string, OperationExecutor>>;
  readonly executorForHost?: (url: string) => OperationExecutor;
  readonly options?: Partial<Omit<OperationsOptions, "now">>;
  /** Where the clock begins, in milliseconds since the epoch. Default: 2026-01-20 09:30 UTC. */
  readonly nowMs?: number;
  /** Puts something in front of the store. */
  readonly wrapStore?: (store: OperationStore) => OperationStore;
}

/** A registry over a real SQLite store, without an edge. */
export interface TestRegistry {
  readonly operations: OperationsService;
  readonly store: OperationStore;
  readonly coordinator: CancellationCoordinator;
  readonly dataDir: string;
  /** The registry's time; a test moves it. */
  readonly clock: { nowMs: number };
  /** Stops it like a process that ends well. Safe to repeat. */
  stop(): Promise<void>;
}

/** When the clock of a test registry begins, in milliseconds since the epoch. */
export const clockBeginsMs = Date.UTC(2026, 0, 20, 9, 30);

/** Starts a registry with an injected clock; it is stopped when the running test ends. */
export async function startTestRegistry(given: TestRegistryOptions = {}): Promise<TestRegistry> {
  const { executors = callerRunsTypes, wrapStore = (store) => store, nowMs = clockBeginsMs } = given;
  const dataDir = given.dataDir ?? (await temporaryDirectory());
  const store = wrapStore(await openSqliteStore(join(dataDir, "longhaul.sqlite")));
  const coordinator = new CancellationCoordinator();
  const clock = { nowMs };
  const operations = new OperationsService({
    store,
    standing: soleStanding(randomUUID()),
    coordinator,
    executors: new Map(Object.entries(executors)),
    executorForHost:
      given.executorForHost ??
      ((url) => {
        throw new Error(`the test has no host ${url}`);
      }),
    log: pino({ level: "silent" }),
    options: { ...testRegistryOptions, ...given.options, now: () => clock.nowMs },
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= (async () => {
      await operations.close();
      coordinator.close();
      await store.close();
    })();
    return stopped;
  };
  onTestFinished(stop);
  await operations.start();
  return { operations, store, coordinator, dataDir, clock, stop };
}

/** Options of a test's registry; nothing happens by itself. */
export const testRegistryOptions: Omit<OperationsOptions, "now"> = {
  cacheTtlMs: 1_000,
  pullTimeoutMs: 1_000,
  sweepIntervalMs: 3_600_000,
  retentionMs: 24 * 3_600_000,
  tombstoneRetentionMs: 7 * 24 * 3_600_000,
  hostLostAfterMs: 300_000,
  maxWaiters: 10_000,
  maxLabels: 64,
  maxMetadataBytes: 256 * 1024,
  maxMetricRecords: 1_000_000,
};

/** Executors of operations that a test runs itself. */
export const callerRunsTypes = {
  training: callerRuns,
  data_load: callerRuns,
  backtesting: callerRuns,
  custom: callerRuns,
};
