import type { OperationsService } from "../operations/operations-service.ts";
import { unauthenticated } from "./access-errors.ts";
import type { CallerAccess } from "./caller-access.ts";
import { type OperationsView, ScopedOperations } from "./scoped-operations.ts";

/** The registry as a caller may see it. `access` is what it may do; undefined when nobody has asked who it is. */
export type OperationsFor = (access: CallerAccess | undefined) => OperationsView;

/**
 * The only way of handlers to the registry. With access control, a call that nobody has looked at gets nothing; without
 * it, and for callers who may do everything, it is the registry itself.
 */
export function createOperationsFor(operations: OperationsService, isControlled: boolean): OperationsFor {
  if (!isControlled) {
    return () => operations;
  }
  return (access) => {
    if (!access) {
      throw unauthenticated("nobody has asked who makes the call");
    }
    return access.isUnlimited("admin") ? operations : new ScopedOperations(operations, access);
  };
}
