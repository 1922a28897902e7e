import type { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { FoldedCondition } from "../operations/fold-condition.ts";
import type { OperationCondition } from "../operations/operation-condition.ts";

/** Operations that an index has in the order of lists: all, or those with a label, a parent, a type or a status. */
export type Path =
  | { readonly kind: "all" }
  | { readonly kind: "label"; readonly key: string; readonly value: string }
  | { readonly kind: "parent"; readonly parentOperationId: string }
  | { readonly kind: "type"; readonly operationType: string; readonly status: OperationStatus | undefined }
  | { readonly kind: "status"; readonly status: OperationStatus };

/** A way to find operations: along some paths, no two of which have an operation in common. */
export interface Walk {
  readonly paths: readonly Path[];
  /** What must hold beside. The created range is kept to by the paths, the rest is tested on every operation. */
  readonly beside: FoldedCondition;
}

/** The most paths of a walk; each costs a search in an index. */
const mostPaths = 50;

/** Every way to find what matches; at least one. */
export function walksOf(wanted: FoldedCondition): Walk[] {
  const { filter } = wanted;
  const walks: Walk[] = [];
  if (filter.parentOperationId !== "") {
    const { parentOperationId } = filter;
    walks.push({ paths: [{ kind: "parent", parentOperationId }], beside: beside(wanted, { parentOperationId: "" }) });
  }
  for (const [key, value] of Object.entries(filter.labels)) {
    const labels = Object.fromEntries(Object.entries(filter.labels).filter(([other]) => other !== key));
    walks.push({ paths: [{ kind: "label", key, value }], beside: beside(wanted, { labels }) });
  }
  const groups = groupsOf(filter);
  if (groups.length > 0 && groups.length <= mostPaths) {
    walks.push({ paths: groups, beside: beside(wanted, { operationTypes: [], statuses: [] }) });
  }
  // What has one of a few ids or parents is found by these.
  const overAll: Walk = { paths: [{ kind: "all" }], beside: wanted };
  return walks.length === 0 || isFoundById(overAll) ? [overAll] : walks;
}

/** How much has to be tested on every operation of a walk; 0 when all of them match. */
export function testsOf({ beside: { filter, rest } }: Walk): number {
  return (
    Math.min(filter.operationTypes.length, 1) +
    Math.min(filter.statuses.length, 1) +
    Math.min(filter.parentOperationId.length, 1) +
    Object.keys(filter.labels).length +
    (rest ? numberOfTests(rest) : 0)
  );
}

/** Whether few operations are in question, which an index has by their id or that of their parent. */
export function isFoundById({ beside: { rest } }: Walk): boolean {
  return rest !== undefined && namesFew(rest);
}

function namesFew(condition: OperationCondition): boolean {
  return condition.kind === "all"
    ? condition.conditions.some(namesFew)
    : condition.kind === "text" && (condition.field === "operation_id" || condition.field === "parent_operation_id");
}

function beside({ filter, rest }: FoldedCondition, without: Partial<OperationFilter>): FoldedCondition {
  return { filter: { ...filter, ...without }, rest };
}

function groupsOf({ operationTypes, statuses }: OperationFilter): Path[] {
  const types = [...new Set(operationTypes)];
  const each = [...new Set(statuses)];
  if (types.length === 0) {
    return each.map((status) => ({ kind: "status", status }));
  }
  return types.flatMap((operationType) =>
    (each.length === 0 ? [undefined] : each).map((status): Path => ({ kind: "type", operationType, status })),
  );
}

/** How many comparisons a row may need. */
function numberOfTests(condition: OperationCondition): number {
  switch (condition.kind) {
    case "all":
    case "any":
      return condition.conditions.reduce((sum, one) => sum + numberOfTests(one), 1);
    case "not":
      return numberOfTests(condition.condition);
    default:
      return 1;
  }
}
