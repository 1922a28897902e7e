import { type DescField, type DescMessage, getOption, isMessage, type MessageShape } from "@bufbuild/protobuf";
import { type Path, pathToString } from "@bufbuild/protobuf/reflect";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { createValidator, type Violation } from "@bufbuild/protovalidate";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { CreateOperationRequestSchema, OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CallError, type FieldViolation } from "./errors.ts";
import { quote } from "./operation-id.ts";

/** The patterns of the protos are ours, without backtracking that grows, so RE2 would only make them slow. */
const patterns = new Map<string, RegExp>();
const regexMatch = (pattern: string, text: string) => {
  let compiled = patterns.get(pattern);
  if (!compiled) {
    compiled = new RegExp(pattern, "u");
    patterns.set(pattern, compiled);
  }
  return compiled.test(text);
};
/** Stops at the first violation, and so before the elements of a list that is too long. */
const firstViolation = createValidator({ regexMatch, failFast: true });
const allViolations = createValidator({ regexMatch });

/** Of a request with more values than this only the first violation is told: to find all would cost too much. */
const valuesForAll = 10_000;
/** Room for violations in the headers of an answer, in characters; the first one is always told. */
const roomForViolations = 2_000;
const longestField = 200;

/** What the patterns mean, for people. */
const meanings: ReadonlyMap<string, string> = new Map([
  [
    patternOf(CreateOperationRequestSchema.field.operationId),
    'is not an operation id; they look like "op_training_20250120_093000_4k2m8x"',
  ],
  [
    patternOf(OperationFilterSchema.field.operationTypes),
    'is not an operation type; 1 to 63 lower case letters, digits and "_", a letter first',
  ],
  [
    patternOf(CreateOperationRequestSchema.field.labels),
    'is not a label key; 1 to 63 letters, digits and "_./-", a letter or digit first',
  ],
]);

/**
 * Holds a message against the rules in its proto. Throws a CallError INVALID_FIELD that names what is violated: all of
 * it, as far as there is room. `parent` is the path of the message itself; empty for a request.
 */
export function checkRules<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>, parent = ""): void {
  const first = firstViolation.validate(schema, message);
  if (first.kind === "valid") {
    return;
  }
  const result = countValues(message, valuesForAll) < valuesForAll ? allViolations.validate(schema, message) : first;
  if (result.kind !== "invalid") {
    throw result.error ?? new Error(`${schema.typeName} is valid and invalid`);
  }
  const described = result.violations.map((violation) => describe(violation, message, parent));
  const [{ field, description } = { field: parent, description: "is not valid" }] = described;
  const more = described.length > 1 ? `; and ${described.length - 1} more` : "";
  throw new CallError("INVALID_FIELD", `${field}: ${description}${more}`, { violations: withinRoom(described) });
}

/**
 * Compiles the rules of a message, so that no call has to; only a request that violates some has them compiled again, to
 * find all. Throws an Error when they cannot be.
 */
export function prepareRules<Desc extends DescMessage>(schema: Desc, example: MessageShape<Desc>): void {
  const { kind, error } = firstViolation.validate(schema, example);
  if (kind === "error") {
    throw error;
  }
}

/** The pattern a field's text, or the text of its elements or keys, has to match. Throws an Error when there is none. */
export function patternOf(field: DescField): string {
  const { type } = getOption(field, fieldRules);
  const inner = type.case === "repeated" ? type.value.items?.type : type.case === "map" ? type.value.keys?.type : type;
  if (inner?.case !== "string" || inner.value.pattern === "") {
    throw new Error(`${field} has no pattern`);
  }
  return inner.value.pattern;
}

function describe({ field: path, ruleId, message, forKey }: Violation, root: object, parent: string): FieldViolation {
  const separator = parent !== "" && path.length > 0 ? "." : "";
  const field = shortened(`${parent}${separator}${pathToString(path)}`);
  const last = path.at(-1);
  const value = forKey && last?.kind === "map_sub" ? last.key : valueAt(root, path);
  const meaning = ruleId === "string.pattern" && meanings.get(/`(.*)`$/.exec(message)?.[1] ?? "");
  return { field, description: ruleId === "required" ? "is required" : withValue(value, ruleId, meaning || message) };
}

/** Says what the value is, briefly however large it is, and what is wrong with it. */
function withValue(value: unknown, ruleId: string, message: string): string {
  switch (typeof value) {
    case "string":
      return ruleId === "string.max_len" ? `has ${value.length} characters; ${message}` : `${quote(value)} ${message}`;
    case "number":
    case "bigint":
      return `${value} ${message}`;
  }
  if (isMessage(value, DurationSchema)) {
    return `${value.seconds} s ${message}`;
  }
  return /^(repeated|map)\./.test(ruleId) ? `has ${Object.keys(value ?? {}).length} entries; ${message}` : message;
}

/** The value at a path; no message with rules has a oneof. */
function valueAt(root: object, path: Path): unknown {
  let value: unknown = root;
  for (const step of path) {
    const key =
      step.kind === "field"
        ? step.localName
        : step.kind === "list_sub"
          ? step.index
          : step.kind === "map_sub"
            ? step.key
            : "";
    value = (value as Record<string, unknown> | undefined)?.[String(key)];
  }
  return value;
}

/** The fields, elements and entries in a message, counted up to `most`. */
function countValues(value: unknown, most: number): number {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) {
    return 0;
  }
  const inner = Array.isArray(value) ? value : Object.values(value);
  let count = inner.length;
  for (let index = 0; index < inner.length && count < most; index++) {
    count += countValues(inner[index], most - count);
  }
  return count;
}

function withinRoom(violations: readonly FieldViolation[]): FieldViolation[] {
  let room = roomForViolations;
  return violations.filter(({ field, description }, index) => {
    room -= field.length + description.length;
    return index === 0 || room >= 0;
  });
}

function shortened(field: string): string {
  return (field.length > longestField ? `${field.slice(0, longestField - 3)}...` : field).toWellFormed();
}
