import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { allOf, type OperationCondition } from "./operation-condition.ts";

/** A filter, and what must hold beside it. */
export interface FoldedCondition {
  readonly filter: OperationFilter;
  /** Undefined when the filter says all. */
  readonly rest: OperationCondition | undefined;
}

/**
 * Says as much of a condition as possible in the filter, for which stores have indexes. Filter and rest together match
 * what the given filter and condition do.
 */
export function foldCondition(filter: OperationFilter, condition: OperationCondition | undefined): FoldedCondition {
  if (condition === undefined) {
    return { filter, rest: undefined };
  }
  const rest: OperationCondition[] = [];
  let folded = filter;
  for (const one of condition.kind === "all" ? condition.conditions : [condition]) {
    const narrower = narrowed(folded, one);
    if (narrower) {
      folded = narrower;
    } else {
      rest.push(one);
    }
  }
  return { filter: folded, rest: rest.length === 0 ? undefined : allOf(rest) };
}

/** The filter with one more condition. Undefined when a filter cannot say so. */
function narrowed(filter: OperationFilter, condition: OperationCondition): OperationFilter | undefined {
  switch (condition.kind) {
    case "status": {
      const statuses = intersection(filter.statuses, condition.oneOf);
      return statuses && { ...filter, statuses };
    }
    case "text":
      return withText(filter, condition);
    case "time":
      return condition.field === "created_at" ? withCreated(filter, condition) : undefined;
    default:
      return undefined;
  }
}

function withText(
  filter: OperationFilter,
  { field, oneOf }: Extract<OperationCondition, { kind: "text" }>,
): OperationFilter | undefined {
  if (field === "operation_type") {
    const operationTypes = intersection(filter.operationTypes, oneOf);
    return operationTypes && { ...filter, operationTypes };
  }
  const [value] = oneOf;
  if (value === undefined || oneOf.length > 1) {
    return undefined;
  }
  if (field === "parent_operation_id") {
    const isFree = filter.parentOperationId === "" || filter.parentOperationId === value;
    // An empty parent in a filter is no condition.
    return isFree && value !== "" ? { ...filter, parentOperationId: value } : undefined;
  }
  if (typeof field === "object") {
    const isFree = !Object.hasOwn(filter.labels, field.label) || filter.labels[field.label] === value;
    const labels = Object.fromEntries([...Object.entries(filter.labels), [field.label, value]]);
    return isFree ? { ...filter, labels } : undefined;
  }
  return undefined;
}

function withCreated(
  filter: OperationFilter,
  { operator, ms }: Extract<OperationCondition, { kind: "time" }>,
): OperationFilter {
  switch (operator) {
    case ">=":
      return createdFrom(filter, ms);
    case ">":
      return createdFrom(filter, ms + 1);
    case "<":
      return createdUntil(filter, ms);
    case "<=":
      return createdUntil(filter, ms + 1);
    case "=":
      return createdUntil(createdFrom(filter, ms), ms + 1);
  }
}

function createdFrom(filter: OperationFilter, ms: number): OperationFilter {
  const from = timestampFromMs(ms);
  return filter.createdAfter && !isBefore(filter.createdAfter, from) ? filter : { ...filter, createdAfter: from };
}

function createdUntil(filter: OperationFilter, ms: number): OperationFilter {
  const until = timestampFromMs(ms);
  return filter.createdBefore && !isBefore(until, filter.createdBefore) ? filter : { ...filter, createdBefore: until };
}

function isBefore(a: Timestamp, b: Timestamp): boolean {
  return a.seconds < b.seconds || (a.seconds === b.seconds && a.nanos < b.nanos);
}

/** What is in both, where an empty list of a filter means all. Undefined when nothing is: a filter cannot say so. */
function intersection<T>(ofFilter: readonly T[], values: readonly T[]): T[] | undefined {
  const both = ofFilter.length === 0 ? [...values] : values.filter((value) => ofFilter.includes(value));
  return both.length === 0 ? undefined : both;
}
