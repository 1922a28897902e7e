import { create } from "@bufbuild/protobuf";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  type CreateOperationRequest,
  CreateOperationRequestSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import type { CallOrigin } from "./call-origin.ts";
import { existingOperation, type NewOperation, newStoredOperation } from "./create-operation.ts";
import { CallError } from "./errors.ts";
import type { OperationControl, OperationExecutor } from "./operation-executor.ts";
import { checkOperationId, quote } from "./operation-id.ts";
import { infoOf, type OperationRegistry, type TrackedOperation } from "./operation-registry.ts";
import { hasEnded } from "./operation-snapshot.ts";
import type { OperationStore } from "./operation-store.ts";
import { checkCreateRequest } from "./request-checks.ts";

/** What admitting operations needs. */
export interface AdmissionContext {
  readonly store: OperationStore;
  readonly registry: OperationRegistry;
  readonly coordinator: CancellationCoordinator;
  readonly control: OperationControl;
  /** Who runs operations of a type. */
  readonly executors: ReadonlyMap<string, OperationExecutor>;
  readonly now: () => number;
  readonly cancel: (tracked: TrackedOperation, reason: string) => Promise<void>;
}

/**
 * The way in for new operations.
 *
 * I1 An operation is in the store before its executor or its creator hears of it.
 * I2 Requests with the same request_id and payload are one operation, however they race; the store decides.
 */
export class Admission {
  readonly #context: AdmissionContext;
  #closed = false;

  constructor(context: AdmissionContext) {
    this.#context = context;
  }

  /** Admits no more operations. */
  close(): void {
    this.#closed = true;
  }

  /** Admits what a creator asks for; `executor` overrides the one of the type. */
  async create(
    request: CreateOperationRequest,
    origin: CallOrigin,
    executor: OperationExecutor | undefined,
  ): Promise<OperationInfo> {
    checkCreateRequest(request);
    const runs = executor ?? this.#executorFor(request.operationType);
    await this.#checkParent(request.parentOperationId);
    return this.#admit({ request, host: runs.host, attempt: 1, retryOf: "" }, runs, origin);
  }

  /** Admits another run of an operation that FAILED or was CANCELLED. Its parent may have ended since. */
  async retry(operationId: string, requestId: string, origin: CallOrigin): Promise<OperationInfo> {
    checkOperationId(operationId);
    const found = await this.#context.registry.find(operationId);
    const { info, request } = "operation" in found ? found.operation.stored : found;
    if (info.status !== OperationStatus.FAILED && info.status !== OperationStatus.CANCELLED) {
      throw new CallError("OPERATION_NOT_RETRYABLE", `operation ${operationId} has neither failed nor been cancelled`, {
        operationId,
      });
    }
    const executor = this.#executorFor(info.operationType);
    const again = create(CreateOperationRequestSchema, { ...request, operationId: "", requestId });
    checkCreateRequest(again);
    const attempt = info.attempt + 1;
    return this.#admit({ request: again, host: executor.host, attempt, retryOf: operationId }, executor, origin);
  }

  async #admit(wanted: NewOperation, executor: OperationExecutor, origin: CallOrigin): Promise<OperationInfo> {
    const { store, registry, control, now } = this.#context;
    if (this.#closed) {
      throw new CallError("SHUTTING_DOWN", "the server is stopping; nothing was created", { retryAfterMs: 1_000 });
    }
    const stored = newStoredOperation(wanted, now());
    const outcome = await store.create(stored);
    if (!outcome.created) {
      const { info } = existingOperation(stored, outcome);
      return registry.active(info.operationId)?.operation.info ?? info;
    }
    const tracked = registry.track(stored, { cursor: 0, summary: new Uint8Array() }, origin);
    tracked.operation.executor = executor;
    const reason = this.#cancelledMeanwhile(wanted);
    if (reason === undefined) {
      executor.dispatch(stored, control, { origin, again: false });
    } else {
      await this.#context.cancel(tracked, reason);
    }
    return tracked.operation.info;
  }

  /** Why a new operation is not to begin: everything is cancelled, or its parent was while it was being stored. */
  #cancelledMeanwhile({ request, retryOf }: NewOperation): string | undefined {
    const { coordinator, registry } = this.#context;
    if (coordinator.cancelAllReason !== undefined || request.parentOperationId === "" || retryOf !== "") {
      return coordinator.cancelAllReason;
    }
    const parent = registry.active(request.parentOperationId)?.operation.info;
    return parent && !parent.cancellation ? undefined : "its parent has ended or is being cancelled";
  }

  #executorFor(operationType: string): OperationExecutor {
    const { executors } = this.#context;
    const executor = executors.get(operationType);
    if (executor) {
      return executor;
    }
    const types = [...executors.keys()].sort().join(", ") || "none";
    const description = `${quote(operationType)} is not served here; the types are ${types}`;
    throw new CallError("UNKNOWN_OPERATION_TYPE", `operation_type: ${description}`, {
      violations: [{ field: "operation_type", description }],
    });
  }

  async #checkParent(parentOperationId: string): Promise<void> {
    if (parentOperationId === "") {
      return;
    }
    const parent = infoOf(await this.#context.registry.find(parentOperationId));
    if (hasEnded(parent) || parent.cancellation) {
      throw new CallError("PARENT_ENDED", `parent ${parentOperationId} has ended or is being cancelled`, {
        operationId: parentOperationId,
      });
    }
  }
}
