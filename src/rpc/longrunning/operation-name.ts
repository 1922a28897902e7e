import { invalidField } from "../../operations/errors.ts";
import { quote } from "../../operations/operation-id.ts";
import { isOperationId } from "../../operations/request-checks.ts";

/** The collection of all operations. */
const collection = "operations";

/** The name of an operation in google.longrunning. */
export function nameFromId(operationId: string): string {
  return `${collection}/${operationId}`;
}

/** The id in a name. Throws CallError INVALID_FIELD when it is none. */
export function idFromName(name: string): string {
  const prefix = nameFromId("");
  const operationId = name.slice(prefix.length);
  if (!name.startsWith(prefix) || !isOperationId(operationId)) {
    const example = nameFromId("op_training_20250120_093000_4k2m8x");
    throw invalidField("name", `${quote(name)} is not the name of an operation; they look like "${example}"`);
  }
  return operationId;
}

/** Refuses the name of another collection than that of all operations, which may also be left out. */
export function checkCollection(name: string): void {
  if (name !== "" && name !== collection) {
    throw invalidField("name", `${quote(name)} is not a collection; there is only "${collection}"`);
  }
}
