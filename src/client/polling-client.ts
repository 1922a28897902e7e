import { durationMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import type { OperationMetrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";

/** How a client polls. */
export interface PollingOptions {
  /** Ends the polling; the iteration ends then without an error. */
  readonly signal?: AbortSignal;
  /** Shortest time between two calls, in milliseconds. Default 250. */
  readonly minimumMs?: number;
  /** How long a server that cannot be reached is tried again, in milliseconds. Default 30 000; 0 gives up at once. */
  readonly retryForMs?: number;
}

/** A page of metric records. */
export interface MetricsPage {
  readonly metrics: OperationMetrics;
  /** Pass it on to go on after these records. */
  readonly cursor: bigint;
}

/** The terminal statuses. */
const terminal: ReadonlySet<OperationStatus> = new Set([
  OperationStatus.COMPLETED,
  OperationStatus.FAILED,
  OperationStatus.CANCELLED,
]);
/** How long one WaitOperation is held, in seconds. */
const waitSeconds = 20n;
const firstBackoffMs = 200;
const maximumBackoffMs = 5_000;

/** Whether nothing can happen to the operation any more. */
export function isDone(operation: OperationInfo): boolean {
  return terminal.has(operation.status);
}

/** Polls operations as their server advises: bounded waits, its poll_after, and a backoff while it is away. */
export class PollingClient {
  /** The typed client, for everything that needs no polling. */
  readonly rpc: Client<typeof OperationsService>;
  #waitIsServed = true;

  constructor(transport: Transport) {
    this.rpc = createClient(OperationsService, transport);
  }

  /**
   * Yields the operation now and after each change, to its end. Throws the server's error when it answers with one, or
   * stays away for longer than `retryForMs`.
   */
  async *watch(operationId: string, options: PollingOptions = {}): AsyncGenerator<OperationInfo> {
    let revision = 0n;
    for (;;) {
      const answer = await this.#retrying(() => this.#next(operationId, revision, options.signal), options);
      if (!answer) {
        return;
      }
      const { operation, pollAfterMs } = answer;
      // A server that was restarted may know less than this client has seen.
      if (operation && operation.revision > revision) {
        revision = operation.revision;
        yield operation;
        if (isDone(operation)) {
          return;
        }
      }
      await pause(Math.max(options.minimumMs ?? 250, pollAfterMs), options.signal);
    }
  }

  /** Polls to the operation's end and answers it; undefined when the signal ends that first. */
  async waitUntilDone(operationId: string, options: PollingOptions = {}): Promise<OperationInfo | undefined> {
    for await (const operation of this.watch(operationId, options)) {
      if (isDone(operation)) {
        return operation;
      }
    }
    return undefined;
  }

  /**
   * Yields metric records after a cursor, page by page, each record once. Ends when there are no more; with `follow`,
   * when the operation has ended and there are no more.
   */
  async *metrics(
    operationId: string,
    options: PollingOptions & { readonly cursor?: bigint; readonly maxRecords?: number; readonly follow?: boolean } = {},
  ): AsyncGenerator<MetricsPage> {
    let cursor = options.cursor ?? 0n;
    for (;;) {
      const request = { operationId, cursor, maxRecords: options.maxRecords ?? 0 };
      const page = await this.#retrying(() => this.rpc.getMetrics(request, callOptions(options.signal)), options);
      if (!page) {
        return;
      }
      if (page.metrics && page.newCursor > cursor) {
        cursor = page.newCursor;
        yield { metrics: page.metrics, cursor };
      }
      if (page.hasMore) {
        continue;
      }
      if (!options.follow || !page.pollAfter) {
        return;
      }
      await pause(Math.max(options.minimumMs ?? 250, durationMs(page.pollAfter)), options.signal);
    }
  }

  async #next(operationId: string, knownRevision: bigint, signal: AbortSignal | undefined) {
    if (this.#waitIsServed && knownRevision !== 0n) {
      try {
        const request = { operationId, knownRevision, timeout: { seconds: waitSeconds } };
        const options = { timeoutMs: Number(waitSeconds) * 1000 + 5_000, ...callOptions(signal) };
        const { operation } = await this.rpc.waitOperation(request, options);
        return { operation, pollAfterMs: 0 };
      } catch (error) {
        if (ConnectError.from(error).code !== Code.Unimplemented) {
          throw error;
        }
        this.#waitIsServed = false;
      }
    }
    const answer = await this.rpc.getOperation({ operationId, knownRevision }, callOptions(signal));
    const pollAfterMs = answer.pollAfter && !this.#waitIsServed ? durationMs(answer.pollAfter) : 0;
    return { operation: answer.operation, pollAfterMs };
  }

  /** Calls until the server answers; undefined when the signal ends that. */
  async #retrying<T>(call: () => Promise<T>, { signal, retryForMs = 30_000 }: PollingOptions): Promise<T | undefined> {
    const giveUpAt = performance.now() + retryForMs;
    for (let backoffMs = firstBackoffMs; ; backoffMs = Math.min(backoffMs * 2, maximumBackoffMs)) {
      if (signal?.aborted) {
        return undefined;
      }
      try {
        return await call();
      } catch (error) {
        if (signal?.aborted) {
          return undefined;
        }
        if (!isUnreachable(error) || performance.now() + backoffMs > giveUpAt) {
          throw error;
        }
        await pause(backoffMs * (0.75 + Math.random() / 2), signal);
      }
    }
  }
}

/** Whether an error says that the server cannot be reached now, rather than that it refuses. */
export function isUnreachable(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.Unavailable || code === Code.DeadlineExceeded;
}

function callOptions(signal: AbortSignal | undefined) {
  return signal ? { signal } : {};
}

/** Resolves after the time or when the signal aborts. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted || ms <= 0) {
      resolve();
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}
