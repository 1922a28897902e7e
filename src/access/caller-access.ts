import { allOf, anyOf, type OperationCondition } from "../operations/operation-condition.ts";
import { includesRole, type Role } from "./roles.ts";

/** A role, and the operations it is for. */
export interface Grant {
  readonly role: Role;
  /** Unset means all types. */
  readonly operationTypes?: ReadonlySet<string>;
  /** An operation must have all of these. Unset means no condition. */
  readonly labels?: readonly (readonly [key: string, value: string])[];
}

/** What never changes of an operation, and so decides who may see it. */
export interface OperationTraits {
  readonly operationType: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What a caller has a role for. */
interface Reach {
  /** Those that include the role. */
  readonly grants: readonly Grant[];
  /** The operations the role is for; undefined when it is for all. */
  readonly condition: OperationCondition | undefined;
}

/** What one caller may do. Immutable. */
export class CallerAccess {
  /** The caller, as logs have it. */
  readonly name: string;
  /** The roles it has for any operations, for messages. */
  readonly roles: string;
  readonly #reaches: Readonly<Record<Role, Reach>>;

  constructor(name: string, grants: readonly Grant[]) {
    this.name = name;
    this.roles = [...new Set(grants.map(({ role }) => role))].join(", ") || "no role";
    this.#reaches = {
      viewer: reachOf(grants, "viewer"),
      operator: reachOf(grants, "operator"),
      admin: reachOf(grants, "admin"),
    };
  }

  /** Whether it has the role for any operations at all. */
  has(role: Role): boolean {
    return this.#reaches[role].grants.length > 0;
  }

  /** Whether it has the role for all operations there may be. */
  isUnlimited(role: Role): boolean {
    return this.#reaches[role].condition === undefined;
  }

  /** Whether it has the role for an operation. */
  admits(role: Role, operation: OperationTraits): boolean {
    return this.#reaches[role].grants.some((grant) => isWithin(operation, grant));
  }

  /** The operations it has the role for; undefined when it has it for all. */
  condition(role: Role): OperationCondition | undefined {
    return this.#reaches[role].condition;
  }

  /** The operations it has the role for, in words: "type training with label team=ml". */
  describe(role: Role): string {
    return this.#reaches[role].grants.map(describeGrant).join(", or ") || "none";
  }
}

function reachOf(all: readonly Grant[], role: Role): Reach {
  const grants = all.filter((grant) => includesRole(grant.role, role));
  const isUnlimited = grants.some(({ operationTypes, labels }) => !operationTypes && !labels);
  return { grants, condition: isUnlimited ? undefined : anyOf(grants.map(conditionOf)) };
}

function isWithin({ operationType, labels: has }: OperationTraits, { operationTypes, labels }: Grant): boolean {
  return (
    (!operationTypes || operationTypes.has(operationType)) &&
    (!labels || labels.every(([key, value]) => Object.hasOwn(has, key) && has[key] === value))
  );
}

function conditionOf({ operationTypes, labels = [] }: Grant): OperationCondition {
  return allOf([
    ...(operationTypes ? [{ kind: "text", field: "operation_type", oneOf: [...operationTypes] } as const] : []),
    ...labels.map(([label, value]) => ({ kind: "text", field: { label }, oneOf: [value] }) as const),
  ]);
}

function describeGrant({ operationTypes, labels = [] }: Grant): string {
  const types = operationTypes ? `type ${[...operationTypes].join(" or ")}` : "any type";
  const pairs = labels.map(([key, value]) => `${key}=${value}`).join(" and ");
  return pairs === "" ? types : `${types} with label ${pairs}`;
}
