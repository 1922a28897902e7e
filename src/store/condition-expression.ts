import { type Expression, type ExpressionBuilder, type RawBuilder, type SqlBool, sql } from "kysely";
import type { OperationCondition, PartPlace, TextField, TimeField } from "../operations/operation-condition.ts";
import type { StoreTables } from "./schema.ts";

type OperationExpressions = ExpressionBuilder<StoreTables, "operations">;
type TextTest = (text: RawBuilder<string>) => Expression<SqlBool>;

/** Stands for the start and the end of a text. It is no character, so nobody's text has it. */
const boundary = "\u{10FFFF}";

/** The SQL of a condition on a row of operations. It is true or false and never null, so that `not` turns it round. */
export function conditionExpression(eb: OperationExpressions, condition: OperationCondition): Expression<SqlBool> {
  switch (condition.kind) {
    case "all":
      return eb.and(condition.conditions.map((one) => conditionExpression(eb, one)));
    case "any":
      return eb.or(condition.conditions.map((one) => conditionExpression(eb, one)));
    case "not":
      return eb.not(conditionExpression(eb, condition.condition));
    case "status":
      return condition.oneOf.length === 0 ? eb.or([]) : eb("operations.status", "in", condition.oneOf);
    case "text": {
      const { field, oneOf } = condition;
      return oneOf.length === 0 ? eb.or([]) : hasText(eb, field, (text) => sql`${text} in (${sql.join(oneOf)})`);
    }
    case "order": {
      const { field, operator, value } = condition;
      return hasText(eb, field, (text) => sql`${text} ${sql.raw(operator)} ${value}`);
    }
    case "part":
      return condition.value === ""
        ? isSet(eb, condition.field)
        : hasText(eb, condition.field, (text) => hasPart(text, condition.at, condition.value));
    case "time": {
      const { field, operator, ms } = condition;
      return field === "created_at"
        ? eb("operations.created_at", operator, ms)
        : eb.and([isSet(eb, field), eb("operations.completed_at", operator, ms)]);
    }
    case "set":
      return isSet(eb, condition.field);
  }
}

/** Whether the operation has the label, with a value that passes the test when there is one. */
export function hasLabel(eb: OperationExpressions, key: string, test?: TextTest): Expression<SqlBool> {
  const labels = eb
    .selectFrom("operation_labels as other")
    .select("other.key")
    .whereRef("other.operation_id", "=", "operations.operation_id")
    .where("other.key", "=", key);
  return eb.exists(test ? labels.where(test(sql.ref("other.value"))) : labels);
}

function hasText(eb: OperationExpressions, field: TextField, test: TextTest): Expression<SqlBool> {
  if (typeof field === "object") {
    return hasLabel(eb, field.label, test);
  }
  const passes = test(sql.ref(`operations.${field}`));
  return field === "parent_operation_id" ? eb.and([isSet(eb, field), passes]) : passes;
}

function isSet(eb: OperationExpressions, field: TextField | TimeField): Expression<SqlBool> {
  if (typeof field === "object") {
    return hasLabel(eb, field.label);
  }
  return field === "parent_operation_id" || field === "completed_at"
    ? eb(`operations.${field}`, "is not", null)
    : eb.and([]);
}

/** A text has a part when it changes without it. LIKE would not do: SQLite's is blind to upper and lower case. */
function hasPart(text: RawBuilder<string>, at: PartPlace, part: string): Expression<SqlBool> {
  switch (at) {
    case "start":
      return sql`replace(${boundary} || ${text}, ${boundary + part}, '') <> ${boundary} || ${text}`;
    case "end":
      return sql`replace(${text} || ${boundary}, ${part + boundary}, '') <> ${text} || ${boundary}`;
    case "anywhere":
      return sql`replace(${text}, ${part}, '') <> ${text}`;
  }
}
