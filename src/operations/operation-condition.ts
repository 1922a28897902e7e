import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { lifeCycleStatuses } from "./life-cycle.ts";

/**
 * A condition on operations, for what an OperationFilter cannot say; immutable. Every condition holds or does not hold,
 * nothing is unknown: a comparison with a field that is not set does not hold, and so its `not` does.
 */
export type OperationCondition =
  /** All of them hold; without any, everything matches. */
  | { readonly kind: "all"; readonly conditions: readonly OperationCondition[] }
  /** At least one of them holds; without any, nothing matches. */
  | { readonly kind: "any"; readonly conditions: readonly OperationCondition[] }
  | { readonly kind: "not"; readonly condition: OperationCondition }
  | { readonly kind: "status"; readonly oneOf: readonly OperationStatus[] }
  /** The field is one of the texts. */
  | { readonly kind: "text"; readonly field: TextField; readonly oneOf: readonly string[] }
  /** The field compares to the text by its UTF-8 bytes. */
  | { readonly kind: "order"; readonly field: TextField; readonly operator: OrderOperator; readonly value: string }
  /** The field has the text as a part, wherever it is, or at its start or end. */
  | { readonly kind: "part"; readonly field: TextField; readonly at: PartPlace; readonly value: string }
  /** The time, in whole milliseconds since the epoch. */
  | { readonly kind: "time"; readonly field: TimeField; readonly operator: OrderOperator | "="; readonly ms: number }
  /** The field has a value. */
  | { readonly kind: "set"; readonly field: TextField | TimeField };

/** A field that is text; a label by its key. Only parents and labels may be unset. */
export type TextField = "operation_id" | "operation_type" | "parent_operation_id" | { readonly label: string };

/** A field that is a time; completed_at is unset until the end. */
export type TimeField = "created_at" | "completed_at";

/** How two values are compared. */
export type OrderOperator = "<" | "<=" | ">" | ">=";

/** Where a part is looked for. */
export type PartPlace = "start" | "end" | "anywhere";

/** All of the conditions, put as flatly as possible. */
export function allOf(conditions: readonly OperationCondition[]): OperationCondition {
  const flat = conditions.flatMap((one) => (one.kind === "all" ? one.conditions : [one]));
  return flat.length === 1 && flat[0] ? flat[0] : { kind: "all", conditions: flat };
}

/** Any of the conditions, put as flatly as possible: several values of one field are one condition. */
export function anyOf(conditions: readonly OperationCondition[]): OperationCondition {
  const merged: OperationCondition[] = [];
  for (const one of conditions.flatMap((one) => (one.kind === "any" ? one.conditions : [one]))) {
    const index = merged.findIndex((earlier) => union(earlier, one) !== undefined);
    const both = union(merged[index], one);
    if (both) {
      merged[index] = both;
    } else {
      merged.push(one);
    }
  }
  return merged.length === 1 && merged[0] ? merged[0] : { kind: "any", conditions: merged };
}

/** The opposite of a condition. */
export function not(condition: OperationCondition): OperationCondition {
  switch (condition.kind) {
    case "not":
      return condition.condition;
    case "status":
      return { kind: "status", oneOf: lifeCycleStatuses.filter((status) => !condition.oneOf.includes(status)) };
    default:
      return { kind: "not", condition };
  }
}

/** Whether the condition holds for an operation. Stores answer the same from what they have stored. */
export function conditionHolds(condition: OperationCondition, info: OperationInfo): boolean {
  switch (condition.kind) {
    case "all":
      return condition.conditions.every((one) => conditionHolds(one, info));
    case "any":
      return condition.conditions.some((one) => conditionHolds(one, info));
    case "not":
      return !conditionHolds(condition.condition, info);
    case "status":
      return condition.oneOf.includes(info.status);
    case "set":
      return fieldOf(info, condition.field) !== undefined;
    case "text": {
      const text = textOf(info, condition.field);
      return text !== undefined && condition.oneOf.includes(text);
    }
    case "order": {
      const text = textOf(info, condition.field);
      return text !== undefined && isOrdered(compareBytes(text, condition.value), condition.operator);
    }
    case "part": {
      const text = textOf(info, condition.field);
      return text !== undefined && hasPart(text, condition.at, condition.value);
    }
    case "time": {
      const ms = timeOf(info, condition.field);
      return ms !== undefined && isOrdered(ms - condition.ms, condition.operator);
    }
  }
}

/** One condition for both, when they ask for values of the same field. */
function union(a: OperationCondition | undefined, b: OperationCondition): OperationCondition | undefined {
  if (a?.kind === "status" && b.kind === "status") {
    return { kind: "status", oneOf: [...new Set([...a.oneOf, ...b.oneOf])] };
  }
  if (a?.kind === "text" && b.kind === "text" && isSameField(a.field, b.field)) {
    return { kind: "text", field: a.field, oneOf: [...new Set([...a.oneOf, ...b.oneOf])] };
  }
  return undefined;
}

function isSameField(a: TextField, b: TextField): boolean {
  return typeof a === "object" && typeof b === "object" ? a.label === b.label : a === b;
}

function fieldOf(info: OperationInfo, field: TextField | TimeField): string | number | undefined {
  return field === "created_at" || field === "completed_at" ? timeOf(info, field) : textOf(info, field);
}

function textOf(info: OperationInfo, field: TextField): string | undefined {
  switch (field) {
    case "operation_id":
      return info.operationId;
    case "operation_type":
      return info.operationType;
    case "parent_operation_id":
      return info.parentOperationId || undefined;
    default:
      return Object.hasOwn(info.labels, field.label) ? info.labels[field.label] : undefined;
  }
}

function timeOf({ createdAt, completedAt }: OperationInfo, field: TimeField): number | undefined {
  const timestamp = field === "created_at" ? createdAt : completedAt;
  return timestamp && timestampMs(timestamp);
}

function hasPart(text: string, at: PartPlace, part: string): boolean {
  switch (at) {
    case "start":
      return text.startsWith(part);
    case "end":
      return text.endsWith(part);
    case "anywhere":
      return text.includes(part);
  }
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function isOrdered(difference: number, operator: OrderOperator | "="): boolean {
  switch (operator) {
    case "<":
      return difference < 0;
    case "<=":
      return difference <= 0;
    case ">":
      return difference > 0;
    case ">=":
      return difference >= 0;
    case "=":
      return difference === 0;
  }
}
