import { create } from "@bufbuild/protobuf";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  type CreateOperationRequest,
  CreateOperationRequestSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import { traceparentOf } from "../tracing/trace-context.ts";
import type { CallOrigin } from "./call-origin.ts";
import { type CreateLimits, checkCreateLimits } from "./create-limits.ts";
import { existingOperation, type NewOperation, newStoredOperation } from "./create-operation.ts";
import { CallError } from "./errors.ts";
import { infoOf, type KnownOperation, type OwnOperation } from "./known-operation.ts";
import type { OperationControl, OperationExecutor } from "./operation-executor.ts";
import { quote } from "./operation-id.ts";
import type { OperationRegistry } from "./operation-registry.ts";
import { hasEnded } from "./operation-snapshot.ts";
import type { OperationStore, StoredOperation } from "./operation-store.ts";
import { checkCreateRequest, checkOperationId } from "./request-checks.ts";
import type { Standing } from "./standing.ts";

/** What admitting operations needs. */
export interface AdmissionContext {
  readonly store: OperationStore;
  readonly registry: OperationRegistry;
  readonly standing: Standing;
  readonly coordinator: CancellationCoordinator;
  readonly control: OperationControl;
  /** Who runs operations of a type. */
  readonly executors: ReadonlyMap<string, OperationExecutor>;
  readonly now: () => number;
  readonly cancel: (known: KnownOperation, reason: string) => Promise<void>;
  readonly limits: CreateLimits;
  /** Told of a create that may have been stored although it failed; throws the error on. */
  readonly inDoubt: (error: unknown) => never;
  /** The newest state of an operation that exists already. */
  readonly current: (existing: StoredOperation) => Promise<OperationInfo>;
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
    checkCreateLimits(request, this.#context.limits);
    const runs = executor ?? this.#executorFor(request.operationType);
    await this.#checkParent(request.parentOperationId);
    return this.#admit({ request, host: runs.host, attempt: 1, retryOf: "" }, runs, origin);
  }

  /** Admits another run of an operation that FAILED or was CANCELLED. Its parent may have ended since. */
  async retry(operationId: string, requestId: string, origin: CallOrigin): Promise<OperationInfo> {
    checkOperationId(operationId);
    const known = await this.#find(operationId);
    const { info, request } = known.kind === "ended" ? known.stored : { info: infoOf(known), request: undefined };
    if (!request || (info.status !== OperationStatus.FAILED && info.status !== OperationStatus.CANCELLED)) {
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
    const { store, registry, standing, now } = this.#context;
    if (this.#closed) {
      throw new CallError("SHUTTING_DOWN", "the server is stopping; nothing was created");
    }
    const stored = newStoredOperation(wanted, standing.instanceId, now(), origin.trace && traceparentOf(origin.trace));
    const outcome = await registry.whileCreating(stored.info.operationId, async () => {
      const created = await store.create(stored).catch(this.#context.inDoubt);
      if (created.created && stored.owner === standing.instanceId) {
        const own = registry.track(stored, { cursor: 0, summary: new Uint8Array() }, origin);
        own.operation.executor = executor;
        await this.#begin(own, wanted);
        return own.operation.info;
      }
      // Taken for dead meanwhile: whoever takes over this server's operations takes this one, too.
      return created.created ? stored.info : created;
    });
    return "created" in outcome ? this.#context.current(existingOperation(stored, outcome)) : outcome;
  }

  /** Hands a new operation to its executor, unless it is not to begin. */
  async #begin(own: OwnOperation, { request: { parentOperationId }, retryOf }: NewOperation): Promise<void> {
    const { coordinator, control } = this.#context;
    const { operation } = own;
    const isChild = parentOperationId !== "" && retryOf === "";
    const reason = coordinator.cancelAllReason ?? (isChild ? await this.#whyNoChild(parentOperationId) : undefined);
    if (reason !== undefined) {
      await this.#context.cancel(own, reason);
    } else if (!operation.isOver) {
      operation.executor?.dispatch(operation.stored, control, { origin: operation.origin, again: false });
    }
  }

  /** Why an operation gets no more children; it may have ended while one was being stored. */
  async #whyNoChild(parentOperationId: string): Promise<string | undefined> {
    const { registry, standing, store } = this.#context;
    const own = registry.active(parentOperationId)?.operation.info;
    const parent = own || !standing.isShared ? own : (await store.get(parentOperationId))?.info;
    return parent && !hasEnded(parent) && !parent.cancellation
      ? undefined
      : "its parent has ended or is being cancelled";
  }

  /** An operation as it is now; another server's may have ended since it was last seen here. */
  async #find(operationId: string): Promise<KnownOperation> {
    const { registry } = this.#context;
    const known = await registry.find(operationId);
    if (known.kind !== "peers") {
      return known;
    }
    await known.refresh.refresh(0, false);
    return registry.find(operationId);
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
    const parent = infoOf(await this.#find(parentOperationId));
    if (hasEnded(parent) || parent.cancellation) {
      throw new CallError("PARENT_ENDED", `parent ${parentOperationId} has ended or is being cancelled`, {
        operationId: parentOperationId,
      });
    }
  }
}
