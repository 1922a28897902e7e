/** Which operations a call was about. */
export interface CallSubject {
  /** The operation that the request names or that was created. */
  readonly operationId?: string;
  /** The operation that a retry has made. */
  readonly newOperationId?: string;
  /** How many operations were asked for, listed or cancelled at once. */
  readonly count?: number;
}

/** Fields by which requests and answers of all services tell which operations they are about. */
interface Telling {
  readonly operationId?: unknown;
  /** A create's and a retry's answer: the operation. A Get's, too. */
  readonly operation?: { readonly operationId?: unknown };
  /** A batch's request and a list's answer. */
  readonly operations?: unknown;
  /** The answer to the cancellation of many. */
  readonly operationIds?: unknown;
  /** google.longrunning: "operations/{operation_id}". */
  readonly name?: unknown;
}

const namePrefix = "operations/";

/** Which operations a call was about, from its request and, if there is one, its answer. */
export function callSubject(request: unknown, answer: unknown): CallSubject {
  const asked = (request ?? {}) as Telling;
  const told = (answer ?? {}) as Telling;
  const named = typeof asked.name === "string" && asked.name.startsWith(namePrefix) ? asked.name.slice(11) : undefined;
  const operationId = textOf(asked.operationId) ?? named;
  const answered = textOf(told.operation?.operationId);
  const count = lengthOf(asked.operations) ?? lengthOf(told.operationIds) ?? lengthOf(told.operations);
  return {
    ...((operationId ?? answered) && { operationId: operationId ?? answered }),
    ...(operationId !== undefined &&
      answered !== undefined &&
      answered !== operationId && { newOperationId: answered }),
    ...(count !== undefined && { count }),
  } as CallSubject;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function lengthOf(value: unknown): number | undefined {
  return Array.isArray(value) ? value.length : undefined;
}
