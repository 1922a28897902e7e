import { Code } from "../../gen/google/rpc/code_pb.ts";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CallError, operationNotFound } from "../operations/errors.ts";
import { allOf, type OperationCondition } from "../operations/operation-condition.ts";
import type { OperationsService } from "../operations/operations-service.ts";
import { permissionDenied } from "./access-errors.ts";
import type { CallerAccess } from "./caller-access.ts";
import { forceRole } from "./method-access.ts";
import type { Role } from "./roles.ts";

/** What handlers may do with the registry. */
export type OperationsView = Pick<
  OperationsService,
  | "cancelOperation"
  | "cancelOperations"
  | "countOperations"
  | "createOperation"
  | "deleteOperation"
  | "getMetrics"
  | "getOperation"
  | "getOperations"
  | "listOperations"
  | "ownedOf"
  | "pollAfter"
  | "retryOperation"
  | "waitOperation"
>;

/**
 * The registry as far as one caller may see and change it.
 *
 * I1 What the caller may not see is answered as what has never been: in the same words, before any source is asked, and
 *    without telling what has expired, for nobody knows any more whose that was.
 * I2 What it may see and not change is PERMISSION_DENIED.
 * I3 Callers whose role is for all operations cost no look at the operation.
 */
export class ScopedOperations implements OperationsView {
  readonly #operations: OperationsService;
  readonly #access: CallerAccess;

  constructor(operations: OperationsService, access: CallerAccess) {
    this.#operations = operations;
    this.#access = access;
  }

  async createOperation(...[init, options]: Parameters<OperationsView["createOperation"]>) {
    const { operationType = "", labels = {}, parentOperationId = "" } = init;
    if (!this.#access.admits("operator", { operationType, labels })) {
      throw permissionDenied(
        `${this.#access.name} may not create this operation; what it may create: ${this.#access.describe("operator")}`,
      );
    }
    if (parentOperationId !== "") {
      await this.#check(parentOperationId, "viewer", "CreateOperation");
    }
    return this.#hide(() => this.#operations.createOperation(init, options));
  }

  async retryOperation(...args: Parameters<OperationsView["retryOperation"]>) {
    await this.#check(args[0], "operator", "RetryOperation");
    return this.#hide(() => this.#operations.retryOperation(...args));
  }

  async getOperation(...args: Parameters<OperationsView["getOperation"]>) {
    await this.#check(args[0], "viewer", "GetOperation");
    return this.#hide(() => this.#operations.getOperation(...args));
  }

  async getOperations(...[operationIds, ...rest]: Parameters<OperationsView["getOperations"]>) {
    return this.#operations.getOperations(await this.#visible(operationIds), ...rest);
  }

  async waitOperation(...args: Parameters<OperationsView["waitOperation"]>) {
    await this.#check(args[0], "viewer", "WaitOperation");
    return this.#hide(() => this.#operations.waitOperation(...args));
  }

  pollAfter(...args: Parameters<OperationsView["pollAfter"]>) {
    return this.#operations.pollAfter(...args);
  }

  async ownedOf(operationIds: readonly string[], instanceId: string) {
    return this.#operations.ownedOf(await this.#visible(operationIds), instanceId);
  }

  async listOperations(filter: OperationFilter, pageSize: number, pageToken: string, condition?: OperationCondition) {
    return this.#operations.listOperations(filter, pageSize, pageToken, this.#within("viewer", condition));
  }

  async countOperations(filter: OperationFilter, condition?: OperationCondition) {
    return this.#operations.countOperations(filter, this.#within("viewer", condition));
  }

  async cancelOperation(...args: Parameters<OperationsView["cancelOperation"]>) {
    const [operationId, , options] = args;
    const needed = options?.force ? forceRole : "operator";
    await this.#check(operationId, needed, options?.force ? "CancelOperation with force" : "CancelOperation");
    return this.#hide(() => this.#operations.cancelOperation(...args));
  }

  async cancelOperations(filter: OperationFilter, reason: string, condition?: OperationCondition) {
    return this.#operations.cancelOperations(filter, reason, this.#within("admin", condition));
  }

  async deleteOperation(operationId: string) {
    await this.#check(operationId, "admin", "DeleteOperation");
    return this.#hide(() => this.#operations.deleteOperation(operationId));
  }

  async getMetrics(...args: Parameters<OperationsView["getMetrics"]>) {
    await this.#check(args[0], "viewer", "GetMetrics");
    return this.#hide(() => this.#operations.getMetrics(...args));
  }

  /** Refuses what the caller may not do with an operation. */
  async #check(operationId: string, needed: Role, what: string): Promise<void> {
    const access = this.#access;
    if (access.isUnlimited(needed)) {
      return;
    }
    const operation = (await this.#operations.knownOperations([operationId])).get(operationId);
    if (!operation && access.isUnlimited("viewer")) {
      // It does not exist; the registry knows whether it has expired.
      return;
    }
    if (!operation || !access.admits("viewer", operation)) {
      throw operationNotFound(operationId);
    }
    if (!access.admits(needed, operation)) {
      throw permissionDenied(
        `${what} needs the role ${needed} for operation ${operationId}; ${access.name} has it for: ${access.describe(needed)}`,
      );
    }
  }

  /** Those of the operations that the caller may see. */
  async #visible(operationIds: readonly string[]): Promise<readonly string[]> {
    if (this.#access.isUnlimited("viewer")) {
      return operationIds;
    }
    const known = await this.#operations.knownOperations(operationIds);
    return operationIds.filter((operationId) => {
      const operation = known.get(operationId);
      return operation !== undefined && this.#access.admits("viewer", operation);
    });
  }

  /** A condition, and that the caller has a role for the operation. */
  #within(role: Role, condition: OperationCondition | undefined): OperationCondition | undefined {
    const scope = this.#access.condition(role);
    return scope && condition ? allOf([scope, condition]) : (scope ?? condition);
  }

  /** I1, for errors of the registry. */
  async #hide<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw this.#access.isUnlimited("viewer") ? error : await this.#withoutHints(error);
    }
  }

  async #withoutHints(error: unknown): Promise<unknown> {
    if (!(error instanceof CallError) || error.details.operationId === undefined) {
      return error;
    }
    const { operationId } = error.details;
    if (error.code === Code.NOT_FOUND) {
      return operationNotFound(operationId);
    }
    if (error.code === Code.ALREADY_EXISTS && (await this.#visible([operationId])).length === 0) {
      const field = error.reason === "REQUEST_ID_REUSED" ? "request_id" : "operation_id";
      return new CallError(error.reason, `the ${field} cannot be used; choose another one`);
    }
    return error;
  }
}
