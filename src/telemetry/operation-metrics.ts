import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationsMeter } from "../operations/operations-meter.ts";
import type { RegistryActivity } from "../operations/registry-activity.ts";

/** What the metrics of operations need to know. */
export interface OperationMetricsOptions {
  /** The types this server serves; all others are "other". */
  readonly operationTypes: Iterable<string>;
  /** URLs of the hosts it routes to; all others are "other". */
  readonly hosts: Iterable<string>;
  /** What is in hand when it is asked; undefined before the registry is there. */
  readonly activity: () => RegistryActivity | undefined;
}

const statusNames: ReadonlyMap<OperationStatus, string> = new Map([
  [OperationStatus.PENDING, "pending"],
  [OperationStatus.RUNNING, "running"],
  [OperationStatus.COMPLETED, "completed"],
  [OperationStatus.FAILED, "failed"],
  [OperationStatus.CANCELLED, "cancelled"],
]);
const activeNames = ["pending", "running"];
const outcomes = ["observed", "unreachable", "gone"];
const other = "other";

/** In seconds: from a moment to a day. */
const runBuckets = [1, 5, 15, 60, 300, 900, 3_600, 14_400, 43_200, 86_400];
const pullBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const cancellationBuckets = [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Counts operations, pulls and reads. Reads are plain numbers until somebody asks: they are counted in every Get. */
export function createOperationMetrics(registry: Registry, options: OperationMetricsOptions): OperationsMeter {
  const registers = [registry];
  const types = new Set(options.operationTypes);
  // The origin of a URL, for the rest may hold a password.
  const named = [...options.hosts].map((url) => [url, new URL(url).origin] as const);
  const hosts = new Map([["", "local"], ["peer", "peer"], ...named]);
  const reads = { cached: 0, coalesced: 0 };
  const pulls = new Counter({
    name: "longhaul_pulls_total",
    help: 'Pulls of an operation\'s state, by where it runs ("local", "peer", a host\'s URL or "other") and outcome.',
    labelNames: ["host", "outcome"],
    registers,
  });
  const pullDuration = new Histogram({
    name: "longhaul_pull_duration_seconds",
    help: "Time that pulls take, by where the operation runs.",
    labelNames: ["host"],
    buckets: pullBuckets,
    registers,
  });
  const runs = new Histogram({
    name: "longhaul_operation_duration_seconds",
    help: "Time from the start of an operation to its end, by type and terminal status.",
    labelNames: ["type", "status"],
    buckets: runBuckets,
    registers,
  });
  const ends = new Counter({
    name: "longhaul_operations_ended_total",
    help: "Operations that have ended, by type and terminal status; also those that never started.",
    labelNames: ["type", "status"],
    registers,
  });
  const cancellations = new Histogram({
    name: "longhaul_cancellation_duration_seconds",
    help: "Time from the request to cancel an operation to the acknowledgement by its work.",
    buckets: cancellationBuckets,
    registers,
  });
  new Counter({
    name: "longhaul_operation_reads_total",
    help: 'Reads of operations that have not ended and needed no pull of their own: "cached" or "coalesced".',
    labelNames: ["result"],
    registers,
    collect() {
      this.reset();
      this.inc({ result: "cached" }, reads.cached);
      this.inc({ result: "coalesced" }, reads.coalesced);
    },
  });
  new Gauge({
    name: "longhaul_operations_active",
    help: "Operations that this server owns and that have not ended, by type and status.",
    labelNames: ["type", "status"],
    registers,
    collect() {
      this.reset();
      for (const type of types) {
        for (const status of activeNames) {
          this.set({ type, status }, 0);
        }
      }
      for (const { operationType, status, count } of options.activity()?.active ?? []) {
        this.inc({ type: typeName(operationType), status: statusNames.get(status) ?? other }, count);
      }
    },
  });
  new Gauge({
    name: "longhaul_waiters",
    help: "Callers that wait for an operation to change.",
    registers,
    collect() {
      this.set(options.activity()?.waiters ?? 0);
    },
  });
  const typeName = (type: string) => (types.has(type) ? type : other);
  for (const host of hosts.values()) {
    for (const outcome of outcomes) {
      pulls.inc({ host, outcome }, 0);
    }
  }
  return {
    readCached: () => {
      reads.cached += 1;
    },
    readCoalesced: () => {
      reads.coalesced += 1;
    },
    pulled: (source, outcome, seconds) => {
      const host = hosts.get(source) ?? other;
      pulls.inc({ host, outcome });
      pullDuration.observe({ host }, seconds);
    },
    ended: ({ operationType, status, startedAt, completedAt, cancellation }) => {
      const labels = { type: typeName(operationType), status: statusNames.get(status) ?? other };
      ends.inc(labels);
      if (startedAt && completedAt) {
        runs.observe(labels, Math.max(0, timestampMs(completedAt) - timestampMs(startedAt)) / 1_000);
      }
      const { requestedAt, acknowledgedAt } = cancellation ?? {};
      if (requestedAt && acknowledgedAt) {
        cancellations.observe(Math.max(0, timestampMs(acknowledgedAt) - timestampMs(requestedAt)) / 1_000);
      }
    },
  };
}
