import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type OperationInfo, type OperationProgress, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { durationText } from "./duration-text.ts";
import type { MetricSeries } from "./newest-metric.ts";
import { progressBar } from "./progress-bar.ts";
import { sparkline } from "./sparkline.ts";
import { fitLine, plainText } from "./terminal-text.ts";

/** What the terminal can show. */
export interface Screen {
  /** Columns. */
  readonly width: number;
  /** Colours are welcome. */
  readonly color: boolean;
}

const statusNames: Readonly<Record<number, string>> = {
  [OperationStatus.PENDING]: "PENDING",
  [OperationStatus.RUNNING]: "RUNNING",
  [OperationStatus.COMPLETED]: "COMPLETED",
  [OperationStatus.FAILED]: "FAILED",
  [OperationStatus.CANCELLED]: "CANCELLED",
};
const statusColors: Readonly<Record<number, number>> = {
  [OperationStatus.RUNNING]: 36,
  [OperationStatus.COMPLETED]: 32,
  [OperationStatus.FAILED]: 31,
  [OperationStatus.CANCELLED]: 33,
};
const sparklineWidth = 40;

/** The name of a status, without the prefix it has on the wire. */
export function statusName(status: OperationStatus): string {
  return statusNames[status] ?? `status ${status}`;
}

/** An operation as lines for a terminal: a bar with the status, what is being done, and a plot of its newest metric. */
export function renderOperation(
  operation: OperationInfo,
  series: MetricSeries | undefined,
  nowMs: number,
  screen: Screen,
): string[] {
  const lines = [barLine(operation, nowMs, screen), `  ${stepText(operation)}`];
  if (series) {
    const newest = series.values.at(-1) ?? Number.NaN;
    const plot = sparkline(series.values, Math.max(1, Math.min(sparklineWidth, screen.width - 30)));
    lines.push(`  ${series.name} ${plot} ${Number(newest.toPrecision(6))}`);
  }
  lines.push(...noticeLines(operation, nowMs).map((line) => `  ${line}`));
  return lines.map((line) => fitLine(line, screen.width));
}

/** A status in its colour, where colours are welcome. */
export function paintStatus(status: OperationStatus, screen: Screen): string {
  const color = statusColors[status];
  return screen.color && color !== undefined ? `\u001b[${color}m${statusName(status)}\u001b[0m` : statusName(status);
}

function barLine(operation: OperationInfo, nowMs: number, screen: Screen): string {
  const percentage = operation.progress?.percentage ?? 0;
  const width = Math.max(10, Math.min(30, screen.width - 50));
  // Rounded down, because 100 % is said of completed operations only.
  const text = `${progressBar(percentage, width)} ${(Math.floor(percentage * 10) / 10).toFixed(1).padStart(5)} %`;
  return [`${text} ${paintStatus(operation.status, screen)}`, ...times(operation, nowMs)].join(" · ");
}

function times({ startedAt, completedAt, progress }: OperationInfo, nowMs: number): string[] {
  if (!startedAt) {
    return [];
  }
  const elapsedMs = (completedAt ? timestampMs(completedAt) : nowMs) - timestampMs(startedAt);
  const parts = [durationText(elapsedMs)];
  if (progress?.estimatedRemaining && progress.progressChangedAt && !completedAt) {
    // The estimate is as of the last change, so it runs down from then.
    const leftMs = durationMs(progress.estimatedRemaining) - (nowMs - timestampMs(progress.progressChangedAt));
    if (leftMs > 0) {
      parts.push(`${durationText(leftMs)} left`);
    }
  }
  const rate = rateText(progress, elapsedMs);
  return rate === "" ? parts : [...parts, rate];
}

/** Items, or else steps, per second of the whole run so far. */
function rateText(progress: OperationProgress | undefined, elapsedMs: number): string {
  const items = Number(progress?.itemsProcessed ?? 0n);
  const [done, unit] = items > 0 ? [items, "items"] : [Number(progress?.stepsCompleted ?? 0n), "steps"];
  return done === 0 || elapsedMs <= 0 ? "" : `${Number(((done * 1000) / elapsedMs).toPrecision(3))} ${unit}/s`;
}

function stepText({ progress, operationName, operationType }: OperationInfo): string {
  const step = progress?.currentStep || operationName || operationType;
  // The step being done is mostly the innermost phase.
  const path = (progress?.phasePath ?? []).filter((phase) => phase !== step);
  const item = progress?.currentItem ? ` · ${progress.currentItem}` : "";
  return plainText([...path, step].join(" › ") + item);
}

function noticeLines({ status, cancellation, freshness, warnings, error }: OperationInfo, nowMs: number): string[] {
  const lines: string[] = [];
  if (cancellation && status === OperationStatus.RUNNING) {
    const hop = cancellation.deliveredAt ? "delivered, not acknowledged yet" : "requested, not delivered yet";
    lines.push(`cancellation ${hop}: ${cancellation.reason}`);
  }
  if (freshness?.stale) {
    const since = freshness.observedAt ? ` for ${durationText(nowMs - timestampMs(freshness.observedAt))}` : "";
    lines.push(`stale${since}: ${freshness.staleReason}`);
  }
  const warning = warnings.at(-1);
  if (warning !== undefined) {
    lines.push(`warning${warnings.length > 1 ? ` (newest of ${warnings.length})` : ""}: ${warning}`);
  }
  if (error) {
    lines.push(`${error.reason}: ${error.message}`);
  }
  return lines.map(plainText);
}
