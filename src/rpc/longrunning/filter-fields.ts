import { fromJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema, timestampMs } from "@bufbuild/protobuf/wkt";
import { OperationStatus } from "../../../gen/longhaul/v1/operation_pb.ts";
import { isLifeCycleStatus, isTerminal, lifeCycleStatuses } from "../../operations/life-cycle.ts";
import {
  allOf,
  not,
  type OperationCondition,
  type TextField,
  type TimeField,
} from "../../operations/operation-condition.ts";
import { quote } from "../../operations/operation-id.ts";
import { type Comparator, refusal } from "./filter-tokens.ts";
import { nameFromId } from "./operation-name.ts";
import type { FilterText } from "./parse-filter.ts";

/** How one field compares with a value. "!=" is the opposite of "=", for every field. */
export type FieldComparison = (
  comparator: Exclude<Comparator, "!=">,
  value: FilterText,
  position: number,
) => OperationCondition;

const timestampExample = '"2026-01-20T09:30:00Z"';
const statusPrefix = "OPERATION_STATUS_";
const statuses: ReadonlyMap<string, OperationStatus> = new Map(
  Object.entries(OperationStatus).filter(([, status]) => isLifeCycleStatus(status)),
);
const namePrefix = nameFromId("");

/** The status, by its name with or without OPERATION_STATUS_. */
export const compareStatus: FieldComparison = (comparator, value, position) => {
  refuseOrder("status", comparator, position);
  if (isPresence(comparator, value)) {
    return allOf([]);
  }
  const status = statuses.get(value.text) ?? statuses.get(value.text.replace(statusPrefix, ""));
  if (status === undefined) {
    const names = [...statuses.keys()].join(", ");
    throw refusal(value.position, `${quote(value.text)} is not a status; the statuses are ${names}`);
  }
  return { kind: "status", oneOf: [status] };
};

/** Whether the operation has ended: true or false. */
export const compareDone: FieldComparison = (comparator, value, position) => {
  refuseOrder("done", comparator, position);
  if (value.text !== "true" && value.text !== "false") {
    throw refusal(value.position, `done is true or false, not ${quote(value.text)}`);
  }
  const ended: OperationCondition = { kind: "status", oneOf: lifeCycleStatuses.filter(isTerminal) };
  return value.text === "true" ? ended : not(ended);
};

/** A text. "=" and ":" know "*" at the start and the end for any characters; "" is what an unset parent equals. */
export function compareText(field: TextField): FieldComparison {
  return (comparator, value) => {
    if (comparator !== "=" && comparator !== ":") {
      return { kind: "order", field, operator: comparator, value: value.text };
    }
    if (field === "parent_operation_id" && value.text === "") {
      return not({ kind: "set", field });
    }
    return matchingText(field, value);
  };
}

/** The name of google.longrunning: the id after "operations/". */
export const compareName: FieldComparison = (comparator, value, position) => {
  const byId = compareText("operation_id");
  if (value.wildcards.includes(0)) {
    return byId(comparator, value, position);
  }
  if (!value.text.startsWith(namePrefix)) {
    throw refusal(
      value.position,
      `${quote(value.text)} is not a name; they look like "${nameFromId("op_training_…")}"`,
    );
  }
  const wildcards = value.wildcards.map((index) => index - namePrefix.length);
  return byId(comparator, { ...value, text: value.text.slice(namePrefix.length), wildcards }, position);
};

/** A time, in RFC 3339. Times are compared in milliseconds. */
export function compareTime(field: TimeField): FieldComparison {
  return (comparator, value) =>
    isPresence(comparator, value)
      ? { kind: "set", field }
      : { kind: "time", field, operator: comparator === ":" ? "=" : comparator, ms: timestampMs(timestampFrom(value)) };
}

/** Whether the comparison asks only if there is a value: ":*". */
function isPresence(comparator: Comparator, { text, wildcards }: FilterText): boolean {
  return comparator === ":" && text === "*" && wildcards.length === 1;
}

function matchingText(field: TextField, { text, wildcards, position }: FilterText): OperationCondition {
  const last = text.length - 1;
  const inside = wildcards.find((index) => index !== 0 && index !== last);
  if (inside !== undefined) {
    throw refusal(
      position,
      `in ${quote(text)} a "*" is neither at the start nor at the end; write \\* for the character`,
    );
  }
  if (wildcards.length === 0) {
    return { kind: "text", field, oneOf: [text] };
  }
  const isOpenAtStart = wildcards.includes(0);
  const isOpenAtEnd = wildcards.includes(last);
  const value = text.slice(isOpenAtStart ? 1 : 0, isOpenAtEnd ? Math.max(last, 1) : undefined);
  if (value === "") {
    return { kind: "set", field };
  }
  const at = isOpenAtStart && isOpenAtEnd ? "anywhere" : isOpenAtStart ? "end" : "start";
  return { kind: "part", field, at, value };
}

function refuseOrder(field: string, comparator: Comparator, position: number): void {
  if (comparator !== "=" && comparator !== ":") {
    throw refusal(position, `${field} has no order; =, != and : are allowed`);
  }
}

function timestampFrom({ text, position }: FilterText): Timestamp {
  const upper = text.toUpperCase();
  try {
    const timestamp = fromJson(TimestampSchema, upper);
    // What is parsed leniently, 30 February, comes out as another day.
    const local = upper.slice(0, 19);
    if (new Date(`${local}Z`).toISOString().startsWith(local)) {
      return timestamp;
    }
  } catch {
    // Not a timestamp.
  }
  throw refusal(
    position,
    `${quote(text)} is not a time; times are in quotes and in RFC 3339, such as ${timestampExample}`,
  );
}
