import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type Context, context, ROOT_CONTEXT } from "@opentelemetry/api";
import {
  type CreateOperationRequest,
  CreateOperationRequestSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import type {
  DispatchCircumstances,
  OperationControl,
  OperationExecutor,
  Recovery,
} from "../operations/operation-executor.ts";
import type { StoredOperation } from "../operations/operation-store.ts";
import { pause } from "../operations/pause.ts";
import { linkedContext } from "../tracing/spans.ts";
import { refusalError } from "./host-answer.ts";
import type { HostBackoff } from "./host-breaker.ts";
import type { HostConnection } from "./host-connection.ts";
import { RemoteSource } from "./remote-source.ts";

/** Operations given to the host at the same time. */
const dispatchesAtOnce = 16;

interface Dispatch {
  readonly stored: StoredOperation;
  readonly control: OperationControl;
  readonly circumstances: DispatchCircumstances;
  /** The host may have received it. */
  mayBeKnown: boolean;
  /** It has been sent before. */
  isRepeated: boolean;
}

/**
 * Gives operations to one host, in the order they came, until it has answered for each.
 *
 * I1 The request names the operation by the registry's own id, so sending it again cannot start the work twice.
 * I2 An operation that the host may have received is not taken back; only a delivered cancellation ends its work.
 * I3 While the host cannot be reached, one attempt at a time goes out, however many operations wait.
 */
export class HostExecutor implements OperationExecutor {
  readonly host: string;
  readonly #connection: HostConnection;
  readonly #backoff: HostBackoff;
  readonly #closed = new AbortController();
  readonly #queue = new Map<string, Dispatch>();
  #pumping = false;

  constructor(connection: HostConnection, backoff: HostBackoff) {
    this.host = connection.url;
    this.#connection = connection;
    this.#backoff = backoff;
  }

  dispatch(stored: StoredOperation, control: OperationControl, circumstances: DispatchCircumstances): void {
    this.#queue.set(stored.info.operationId, {
      stored,
      control,
      circumstances,
      mayBeKnown: circumstances.again,
      isRepeated: false,
    });
    if (!this.#pumping) {
      this.#pumping = true;
      void context.with(ROOT_CONTEXT, () => this.#pump());
    }
  }

  withdraw(operationId: string, force: boolean): boolean {
    const dispatch = this.#queue.get(operationId);
    const isUnknown = dispatch?.mayBeKnown === false;
    if (isUnknown || force) {
      this.#queue.delete(operationId);
    }
    return isUnknown;
  }

  recover(stored: StoredOperation): Recovery {
    return { outcome: "attached", source: new RemoteSource(this.#connection, stored.info.operationId) };
  }

  /** Stops dispatching and closes the connection. */
  close(): void {
    this.#closed.abort();
    this.#connection.close();
  }

  async #pump(): Promise<void> {
    const { signal } = this.#closed;
    let delayMs = this.#backoff.firstMs;
    while (this.#queue.size > 0 && !signal.aborted) {
      if (await this.#dispatchSome()) {
        delayMs = this.#backoff.firstMs;
      } else {
        await pause(delayMs * (0.75 + Math.random() / 2), signal);
        delayMs = Math.min(delayMs * 2, this.#backoff.maximumMs);
      }
    }
    this.#pumping = false;
  }

  /** Answers whether the host answered for every operation that was sent. */
  async #dispatchSome(): Promise<boolean> {
    if (!(await this.#connection.isReachable(this.#closed.signal))) {
      for (const { stored, control } of this.#queue.values()) {
        control.waiting(stored.info.operationId, `host ${this.host} cannot be reached; it will be given the operation`);
      }
      return false;
    }
    const some = [...this.#queue.values()].slice(0, dispatchesAtOnce);
    // Rejects only when the registry has closed: what is not stored is dispatched again after the restart.
    const answered = await Promise.all(
      some.map((dispatch) => context.with(traceOf(dispatch), () => this.#dispatchOne(dispatch)).catch(() => false)),
    );
    return answered.every(Boolean);
  }

  async #dispatchOne(dispatch: Dispatch): Promise<boolean> {
    const { stored, control, circumstances } = dispatch;
    const { operationId } = stored.info;
    if (!this.#queue.has(operationId)) {
      return true;
    }
    dispatch.mayBeKnown = true;
    dispatch.isRepeated = true;
    const answer = await this.#connection.create(hostRequest(stored), circumstances.origin);
    switch (answer.outcome) {
      case "answered":
        await control.accepted(operationId, new RemoteSource(this.#connection, operationId));
        break;
      case "refused":
        await control.finish(operationId, { status: "failed", error: answer.error });
        break;
      case "gone":
      case "unimplemented":
        await control.finish(operationId, {
          status: "failed",
          error: refusalError(this.host, Code.Unimplemented, answer.reason),
        });
        break;
      case "unreachable":
        control.waiting(operationId, answer.reason);
        return false;
    }
    this.#queue.delete(operationId);
    return true;
  }
}

/** The first attempt belongs to the trace of the create; later ones, of which there may be many, only link to it. */
function traceOf({ circumstances: { origin, again }, isRepeated }: Dispatch): Context {
  const created = origin.trace ?? ROOT_CONTEXT;
  return isRepeated || again ? linkedContext([created]) : created;
}

/** Parents, retention and retries are this registry's own business; the host runs the work. */
function hostRequest({ request, info }: StoredOperation): CreateOperationRequest {
  const { retention: _, ...rest } = request;
  return create(CreateOperationRequestSchema, {
    ...rest,
    operationId: info.operationId,
    requestId: info.operationId,
    parentOperationId: "",
  });
}
