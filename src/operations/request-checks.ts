import { create } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type { Phase } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  type CreateOperationRequest,
  CreateOperationRequestSchema,
  GetOperationRequestSchema,
  type OperationFilter,
  OperationFilterSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { invalidField } from "./errors.ts";
import { quote } from "./operation-id.ts";
import { checkRules, patternOf } from "./request-rules.ts";

const idPattern = new RegExp(patternOf(GetOperationRequestSchema.field.operationId));
const typePattern = new RegExp(patternOf(OperationFilterSchema.field.operationTypes));
const labelKeyPattern = new RegExp(patternOf(OperationFilterSchema.field.labels));

/** Refuses a CreateOperationRequest that could not be stored or run as it stands. */
export function checkCreateRequest(request: CreateOperationRequest): void {
  checkRules(CreateOperationRequestSchema, request);
  checkPhases(request.phases);
}

/** Refuses a filter that cannot match by mistake, such as one with an unknown status. */
export function checkFilter(filter: OperationFilter): void {
  checkRules(OperationFilterSchema, filter, "filter");
}

/** Whether the text can be the id of an operation. */
export function isOperationId(text: string): boolean {
  return idPattern.test(text);
}

/** Whether the text can be the type of an operation. */
export function isOperationType(text: string): boolean {
  return typePattern.test(text);
}

/** Whether the text can be the key of a label. */
export function isLabelKey(text: string): boolean {
  return labelKeyPattern.test(text);
}

/** Refuses what cannot be an operation id. On the way of every poll, and so without a message to hold the rule against. */
export function checkOperationId(operationId: string): void {
  if (!isOperationId(operationId)) {
    checkRules(GetOperationRequestSchema, create(GetOperationRequestSchema, { operationId }));
  }
}

/** The page or record count to use for what was asked: 0 is the default, more than the most is the most. */
export function clampCount(value: number, fallback: number, most: number): number {
  return value === 0 ? fallback : Math.min(value, most);
}

/** A Duration in milliseconds, or the fallback when it is unset. */
export function durationOr<F extends number | undefined>(duration: Duration | undefined, fallbackMs: F): number | F {
  return duration === undefined ? fallbackMs : durationMs(duration);
}

/** Phases follow each other; a rule in the proto would know each by itself only. */
function checkPhases(phases: readonly Phase[]): void {
  let end = 0;
  phases.forEach(({ name, fromPercentage: from, toPercentage: to }, index) => {
    if (from < end || to < from) {
      throw invalidField(
        `phases[${index}]`,
        `${quote(name)} goes from ${from} to ${to}; phases follow each other within 0 to 100 without overlap`,
      );
    }
    end = to;
  });
}
