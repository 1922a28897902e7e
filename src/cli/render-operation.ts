import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { durationText } from "./duration-text.ts";
import type { MetricSeries } from "./newest-metric.ts";
import { sparkline } from "./sparkline.ts";

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
  const lines = [barLine(operation, nowMs, screen), stepLine(operation)];
  if (series) {
    const newest = series.values.at(-1) ?? Number.NaN;
    const plot = sparkline(series.values, Math.min(sparklineWidth, screen.width - 30));
    lines.push(`  ${series.name} ${plot} ${Number(newest.toPrecision(6))}`);
  }
  if (operation.cancellation && operation.status === OperationStatus.RUNNING) {
    const hop = operation.cancellation.deliveredAt ? "delivered, not acknowledged yet" : "requested, not delivered yet";
    lines.push(`  cancellation ${hop}: ${operation.cancellation.reason}`);
  }
  if (operation.freshness?.stale) {
    lines.push(`  stale: ${operation.freshness.staleReason}`);
  }
  if (operation.error) {
    lines.push(`  ${operation.error.reason}: ${operation.error.message}`);
  }
  return lines.filter((line) => line.trim() !== "").map((line) => cut(line, screen.width));
}

function barLine(operation: OperationInfo, nowMs: number, screen: Screen): string {
  const percentage = operation.progress?.percentage ?? 0;
  const width = Math.max(10, Math.min(30, screen.width - 50));
  const filled = Math.round((percentage / 100) * width);
  const bar = `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
  const status = paint(statusName(operation.status), statusColors[operation.status], screen);
  return `${bar} ${percentage.toFixed(1).padStart(5)} % ${status}${times(operation, nowMs)}`;
}

function times({ startedAt, completedAt, progress }: OperationInfo, nowMs: number): string {
  if (!startedAt) {
    return "";
  }
  const elapsedMs = (completedAt ? timestampMs(completedAt) : nowMs) - timestampMs(startedAt);
  const left = progress?.estimatedRemaining ? ` · ${durationText(durationMs(progress.estimatedRemaining))} left` : "";
  return ` · ${durationText(elapsedMs)}${left}${rate(progress, elapsedMs)}`;
}

/** Items, or else steps, per second of the whole run so far. */
function rate(progress: OperationInfo["progress"], elapsedMs: number): string {
  const [done, unit] =
    progress && progress.itemsProcessed > 0n
      ? [progress.itemsProcessed, "items"]
      : [progress?.stepsCompleted ?? 0n, "steps"];
  if (done === 0n || elapsedMs <= 0) {
    return "";
  }
  return ` · ${Number(((Number(done) * 1000) / elapsedMs).toPrecision(3))} ${unit}/s`;
}

function stepLine({ progress, operationName, operationType }: OperationInfo): string {
  const path = progress?.phasePath.length ? `${progress.phasePath.join(" › ")} · ` : "";
  const step = progress?.currentStep || operationName || operationType;
  return `  ${path}${step}`;
}

function paint(text: string, color: number | undefined, screen: Screen): string {
  return screen.color && color !== undefined ? `\u001b[${color}m${text}\u001b[0m` : text;
}

/** Cuts a line to the screen's width; colours take no room. */
function cut(line: string, width: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with a control character.
  const visible = [...line.replaceAll(/\u001b\[\d+m/g, "")].length;
  return visible <= width ? line : `${[...line].slice(0, width - 1).join("")}…`;
}
