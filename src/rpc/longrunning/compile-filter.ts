import { allOf, anyOf, not, type OperationCondition } from "../../operations/operation-condition.ts";
import { quote } from "../../operations/operation-id.ts";
import { isLabelKey } from "../../operations/request-checks.ts";
import {
  compareDone,
  compareName,
  compareStatus,
  compareText,
  compareTime,
  type FieldComparison,
} from "./filter-fields.ts";
import { refusal } from "./filter-tokens.ts";
import { type Comparison, type FilterNode, type FilterText, type Member, parseFilter } from "./parse-filter.ts";

/** The fields a filter may name beside the labels, by the names of both services. */
const fields: ReadonlyMap<string, FieldComparison> = new Map([
  ["status", compareStatus],
  ["done", compareDone],
  ["operation_type", compareText("operation_type")],
  ["type", compareText("operation_type")],
  ["operation_id", compareText("operation_id")],
  ["name", compareName],
  ["parent_operation_id", compareText("parent_operation_id")],
  ["create_time", compareTime("created_at")],
  ["created_at", compareTime("created_at")],
  ["end_time", compareTime("completed_at")],
  ["completed_at", compareTime("completed_at")],
]);
const allowed = `the fields are ${[...fields.keys()].join(", ")} and labels.{key}`;

/**
 * The condition an AIP-160 filter says; undefined when the filter is empty. Throws CallError INVALID_FIELD, which names
 * the position and what is allowed there.
 */
export function conditionFromFilter(filter: string): OperationCondition | undefined {
  const node = parseFilter(filter);
  return node && compiled(node);
}

function compiled(node: FilterNode): OperationCondition {
  switch (node.kind) {
    case "and":
      return allOf(node.nodes.map(compiled));
    case "or":
      return anyOf(node.nodes.map(compiled));
    case "not":
      return not(compiled(node.node));
    case "comparison":
      return compiledComparison(node);
    case "member": {
      const [{ text, position }] = node.path;
      throw refusal(
        position,
        `${quote(text)} is compared with nothing, and texts alone are not searched for; ${allowed}`,
      );
    }
  }
}

function compiledComparison({ member, comparator, arg, position }: Comparison): OperationCondition {
  const [root] = member.path;
  const path = root.text === "metadata" && !root.quoted && member.path.length > 1 ? member.path.slice(1) : member.path;
  if (path.length === 1 && path[0]?.text === "labels") {
    if (comparator !== ":") {
      throw refusal(position, 'labels are compared one by one, as in labels.team = "ml", or labels:team');
    }
    return onEach(arg, (value) => ({ kind: "set", field: { label: labelKey(value) } }));
  }
  const compare = comparisonOf(path);
  return comparator === "!="
    ? not(onEach(arg, (value) => compare("=", value, position)))
    : onEach(arg, (value) => compare(comparator, value, position));
}

/** How the field of a path is compared. */
function comparisonOf(path: readonly FilterText[]): FieldComparison {
  const [first, ...rest] = path;
  const field = first && fields.get(first.text);
  if (field && rest.length === 0) {
    return field;
  }
  if (first?.text === "labels" && rest.length > 0) {
    return compareText({ label: labelKey(joined(rest)) });
  }
  const name = path.map(({ text }) => text).join(".");
  throw refusal(first?.position ?? 0, `there is no field ${quote(name)}; ${allowed}`);
}

/** Applies a comparison to each of the values that an argument puts together. */
function onEach(arg: FilterNode, compare: (value: FilterText) => OperationCondition): OperationCondition {
  switch (arg.kind) {
    case "and":
      return allOf(arg.nodes.map((node) => onEach(node, compare)));
    case "or":
      return anyOf(arg.nodes.map((node) => onEach(node, compare)));
    case "not":
      return not(onEach(arg.node, compare));
    case "comparison":
      throw refusal(arg.position, "only values may be compared with, put together by AND, OR and NOT");
    case "member":
      return compare(valueOfMember(arg));
  }
}

/** A value may have dots without quotes, as in 1.5. */
function valueOfMember({ path }: Member): FilterText {
  const quoted = path.length > 1 && path.find((one) => one.quoted);
  if (quoted) {
    throw refusal(quoted.position, "a value is one text; put all of it in quotes");
  }
  return joined(path);
}

/** Texts with dots between them as one. */
function joined([first, ...rest]: readonly FilterText[]): FilterText {
  let { text = "" } = first ?? {};
  const wildcards = [...(first?.wildcards ?? [])];
  for (const next of rest) {
    wildcards.push(...next.wildcards.map((index) => text.length + 1 + index));
    text += `.${next.text}`;
  }
  return { text, wildcards, position: first?.position ?? 0, quoted: first?.quoted ?? false };
}

function labelKey({ text, position }: FilterText): string {
  // Another one would be found nowhere, and is a mistake.
  if (!isLabelKey(text)) {
    throw refusal(
      position,
      `${quote(text)} is not a label key; 1 to 63 letters, digits and "_./-", a letter or digit first`,
    );
  }
  return text;
}
