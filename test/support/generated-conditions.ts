import fc from "fast-check";
import { lifeCycleStatuses } from "../../src/operations/life-cycle.ts";
import type { OperationCondition, TextField, TimeField } from "../../src/operations/operation-condition.ts";

/** What generated conditions ask for; operations to compare with should have some of it. */
export interface ConditionValues {
  readonly operationIds: readonly string[];
  readonly operationTypes: readonly string[];
  readonly labelKeys: readonly string[];
  readonly labelValues: readonly string[];
  /** Milliseconds since the epoch. */
  readonly times: readonly number[];
}

/** Conditions of every kind, nested up to four deep. */
export function generatedConditions(values: ConditionValues): fc.Arbitrary<OperationCondition> {
  const label = fc.record({ label: fc.constantFrom(...values.labelKeys) });
  const textField: fc.Arbitrary<TextField> = fc.oneof(
    fc.constantFrom("operation_id" as const, "operation_type" as const, "parent_operation_id" as const),
    label,
  );
  const timeField: fc.Arbitrary<TimeField> = fc.constantFrom("created_at", "completed_at");
  const text = fc.constantFrom(...values.operationIds, ...values.operationTypes, ...values.labelValues);
  const part = fc
    .tuple(text, fc.nat(4), fc.nat(4))
    .map(([whole, from, length]) => [...whole].slice(from, from + length).join(""));
  const order = fc.constantFrom("<" as const, "<=" as const, ">" as const, ">=" as const);
  const leaf: fc.Arbitrary<OperationCondition> = fc.oneof(
    fc.record({
      kind: fc.constant("status" as const),
      oneOf: fc.subarray([...lifeCycleStatuses]),
    }),
    fc.record({ kind: fc.constant("text" as const), field: textField, oneOf: fc.array(text, { maxLength: 3 }) }),
    fc.record({
      kind: fc.constant("text" as const),
      field: label,
      oneOf: fc.array(fc.constantFrom(...values.labelValues), { minLength: 1, maxLength: 2 }),
    }),
    fc.record({
      kind: fc.constant("text" as const),
      field: fc.constant("operation_type" as const),
      oneOf: fc.subarray([...values.operationTypes], { minLength: 1 }),
    }),
    fc.record({ kind: fc.constant("order" as const), field: textField, operator: order, value: text }),
    fc.record({
      kind: fc.constant("part" as const),
      field: textField,
      at: fc.constantFrom("start" as const, "end" as const, "anywhere" as const),
      value: part,
    }),
    fc.record({
      kind: fc.constant("time" as const),
      field: timeField,
      operator: fc.oneof(order, fc.constant("=" as const)),
      ms: fc.constantFrom(...values.times),
    }),
    fc.record({ kind: fc.constant("set" as const), field: fc.oneof(textField, timeField) }),
  );
  return fc.letrec<{ condition: OperationCondition }>((tie) => ({
    condition: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      leaf,
      fc.record({ kind: fc.constant("not" as const), condition: tie("condition") }),
      fc.record({
        kind: fc.constantFrom("all" as const, "any" as const),
        conditions: fc.array(tie("condition"), { maxLength: 3 }),
      }),
    ),
  })).condition;
}
