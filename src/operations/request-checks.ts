import { type Duration, durationMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { OperationMetadata, Phase } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CreateOperationRequest, OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { invalidField } from "./errors.ts";
import { isLifeCycleStatus } from "./life-cycle.ts";
import { checkOperationId, isOperationType, quote } from "./operation-id.ts";

const maximumLabels = 64;
const maximumDurationMs = 10 * 366 * 24 * 3_600_000;
const labelKeyPattern = /^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$/;

/** Refuses a CreateOperationRequest that could not be stored or run as it stands. */
export function checkCreateRequest(request: CreateOperationRequest): void {
  if (request.operationId !== "") {
    checkOperationId(request.operationId);
  }
  if (request.parentOperationId !== "") {
    checkOperationId(request.parentOperationId, "parent_operation_id");
  }
  checkLength(request.operationName, "operation_name", 256);
  checkLength(request.requestId, "request_id", 128);
  checkSteps(request.totalSteps);
  checkLabels(request.labels, "labels");
  checkPhases(request.phases);
  checkMetadata(request.metadata);
  checkDuration(request.retention, "retention", 0);
  checkDuration(request.executionTimeout, "execution_timeout", 1);
}

/** Refuses a filter that cannot match by mistake, such as one with an unknown status. */
export function checkFilter(filter: OperationFilter): void {
  filter.operationTypes.forEach((type, index) => {
    if (!isOperationType(type)) {
      throw invalidField(`filter.operation_types[${index}]`, `${quote(type)} is not an operation type`);
    }
  });
  filter.statuses.forEach((status, index) => {
    if (!isLifeCycleStatus(status)) {
      throw invalidField(
        `filter.statuses[${index}]`,
        `${status} is not a status; the statuses are PENDING, RUNNING, COMPLETED, FAILED and CANCELLED`,
      );
    }
  });
  if (filter.parentOperationId !== "") {
    checkOperationId(filter.parentOperationId, "filter.parent_operation_id");
  }
  checkLabels(filter.labels, "filter.labels");
  checkTimestamp(filter.createdAfter, "filter.created_after");
  checkTimestamp(filter.createdBefore, "filter.created_before");
}

/** Whether the text can be the key of a label. */
export function isLabelKey(key: string): boolean {
  return labelKeyPattern.test(key);
}

/** Refuses an empty or overlong reason. */
export function checkReason(reason: string): void {
  if (reason.trim() === "") {
    throw invalidField("reason", "is empty; say why, for those who will wonder");
  }
  checkLength(reason, "reason", 1024);
}

/** The page or record count to use for what was asked: 0 is the default, more than the most is the most. */
export function clampCount(value: number, field: string, fallback: number, most: number): number {
  if (value < 0) {
    throw invalidField(field, `${value} is negative; 0 means ${fallback}`);
  }
  return value === 0 ? fallback : Math.min(value, most);
}

/** A non-negative Duration in milliseconds, or the fallback when it is unset. */
export function durationOr<F extends number | undefined>(
  duration: Duration | undefined,
  field: string,
  fallbackMs: F,
): number | F {
  checkDuration(duration, field, 0);
  return duration === undefined ? fallbackMs : durationMs(duration);
}

/** A cursor as a number; cursors that could never be reached are refused. */
export function cursorNumber(cursor: bigint): number {
  if (cursor > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalidField("cursor", `${cursor} is larger than any sequence; pass the new_cursor of an earlier answer`);
  }
  return Number(cursor);
}

function checkLength(text: string, field: string, most: number): void {
  if (text.length > most) {
    throw invalidField(field, `has ${text.length} characters; at most ${most} are allowed`);
  }
}

function checkSteps(totalSteps: bigint): void {
  if (totalSteps < 0n || totalSteps > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalidField("total_steps", `${totalSteps} is out of range; 0 to ${Number.MAX_SAFE_INTEGER} are allowed`);
  }
}

function checkLabels(labels: Record<string, string>, field: string): void {
  const entries = Object.entries(labels);
  if (entries.length > maximumLabels) {
    throw invalidField(field, `has ${entries.length} labels; at most ${maximumLabels} are allowed`);
  }
  for (const [key, value] of entries) {
    if (!isLabelKey(key)) {
      throw invalidField(
        field,
        `${quote(key)} is not a label key; 1 to 63 letters, digits and "_./-", a letter or digit first`,
      );
    }
    checkLength(value, `${field}[${quote(key)}]`, 256);
  }
}

function checkPhases(phases: readonly Phase[]): void {
  let end = 0;
  phases.forEach(({ name, fromPercentage: from, toPercentage: to }, index) => {
    const field = `phases[${index}]`;
    if (name === "") {
      throw invalidField(`${field}.name`, "is empty");
    }
    if (!(from >= end && to >= from && to <= 100)) {
      throw invalidField(
        field,
        `${quote(name)} goes from ${from} to ${to}; phases follow each other within 0 to 100 without overlap`,
      );
    }
    end = to;
  });
}

function checkMetadata(metadata: OperationMetadata | undefined): void {
  if (!metadata) {
    return;
  }
  for (const field of ["symbol", "timeframe", "mode"] as const) {
    checkLength(metadata[field], `metadata.${field}`, 256);
  }
  checkTimestamp(metadata.startDate, "metadata.start_date");
  checkTimestamp(metadata.endDate, "metadata.end_date");
  if (metadata.startDate && metadata.endDate && timestampMs(metadata.startDate) > timestampMs(metadata.endDate)) {
    throw invalidField("metadata.end_date", "is before metadata.start_date");
  }
}

/** The range of google.protobuf.Timestamp: years 1 to 9999. */
function checkTimestamp(timestamp: Timestamp | undefined, field: string): void {
  if (timestamp && !(timestamp.seconds >= -62_135_596_800n && timestamp.seconds <= 253_402_300_799n)) {
    throw invalidField(field, "is outside of the years 1 to 9999");
  }
}

function checkDuration(duration: Duration | undefined, field: string, leastMs: number): void {
  if (duration && !(durationMs(duration) >= leastMs && durationMs(duration) <= maximumDurationMs)) {
    throw invalidField(field, `${duration.seconds} s is out of range; at least ${leastMs} ms and at most 10 years`);
  }
}
