import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import type { OperationMetrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { type CreateOperationRequestSchema, OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { type PollingClock, systemClock } from "./polling-clock.ts";
import { type RetryOptions, retryUnreachable } from "./retry.ts";

/** How a client polls. A signal ends the iteration without an error. */
export interface PollingOptions extends RetryOptions {
  /** Shortest time between two calls, in milliseconds. Default 250. The server's poll_after makes it longer. */
  readonly minimumMs?: number;
}

/** What is watched. */
export interface WatchOptions extends PollingOptions {
  /** Yield only the end. Default false: every change. */
  readonly untilDone?: boolean;
}

/** Which metric records are read. */
export interface MetricsOptions extends PollingOptions {
  /** Sequence of the last record that is known. Default 0: from the beginning. */
  readonly cursor?: bigint;
  /** Records a page has at most. Default 0: as the server does. */
  readonly maxRecords?: number;
  /** Begin with the newest `maxRecords` after the cursor instead of the oldest. Default false. */
  readonly latest?: boolean;
  /** Go on until the operation has ended. Default false: until there are no more now. */
  readonly follow?: boolean;
}

/** A page of metric records. */
export interface MetricsPage {
  readonly metrics: OperationMetrics;
  /** Pass it on to go on after these records. */
  readonly cursor: bigint;
}

interface Answer {
  readonly operation?: OperationInfo | undefined;
  readonly pollAfter?: Duration | undefined;
  /** It came after a wait. Default false. */
  readonly hasWaited?: boolean;
}

/** The terminal statuses. */
const terminal: ReadonlySet<OperationStatus> = new Set([
  OperationStatus.COMPLETED,
  OperationStatus.FAILED,
  OperationStatus.CANCELLED,
]);
/** How long one WaitOperation is held. */
const waitMs = 20_000;
/** What the answer of a WaitOperation may take beyond that. */
const waitGraceMs = 5_000;
/** The longest poll_after of a server that is followed. */
const maximumPauseMs = 60_000;
/** Pauses are made longer by up to this share, so that clients that were answered together do not return together. */
const spread = 0.1;

/** Whether nothing can happen to the operation any more. */
export function isDone(operation: OperationInfo): boolean {
  return terminal.has(operation.status);
}

/**
 * Polls operations as their server advises: bounded waits, its poll_after, and a backoff while it is away.
 *
 * I1 A snapshot older than one that was yielded is never yielded: a server that was restarted may know less.
 * I2 Between two calls of one iteration passes at least the minimum time and what the server has advised, whatever it
 *    answers; when it does not, the backoff as well. What a Get advises is about the next Get: a wait may begin before.
 * I3 A cursor only grows, so no record is yielded twice and none is skipped.
 */
export class PollingClient {
  /** The typed client, for everything that needs no polling. */
  readonly rpc: Client<typeof OperationsService>;
  readonly #clock: PollingClock;
  #waitIsServed = true;

  constructor(transport: Transport, clock: PollingClock = systemClock) {
    this.rpc = createClient(OperationsService, transport);
    this.#clock = clock;
  }

  /**
   * Creates an operation. A request without request_id gets one, so that trying again makes one operation.
   * Undefined when the signal ends the trying; the operation may exist then.
   */
  async create(
    request: MessageInitShape<typeof CreateOperationRequestSchema>,
    options: RetryOptions = {},
  ): Promise<OperationInfo | undefined> {
    const named = { ...request, requestId: request.requestId || randomUUID() };
    const answer = await this.#call((callOptions) => this.rpc.createOperation(named, callOptions), options);
    return answer && demand(answer.operation, "CreateOperation");
  }

  /** The operation as it is now; undefined when the signal ends the trying. */
  async get(operationId: string, options: RetryOptions = {}): Promise<OperationInfo | undefined> {
    const answer = await this.#call((callOptions) => this.rpc.getOperation({ operationId }, callOptions), options);
    return answer && demand(answer.operation, "GetOperation");
  }

  /**
   * Asks an operation to stop and answers it as it is then, mostly still running: `watch` tells when it has stopped.
   * Undefined when the signal ends the trying.
   */
  async cancel(
    operationId: string,
    reason: string,
    options: RetryOptions & { readonly force?: boolean } = {},
  ): Promise<OperationInfo | undefined> {
    const request = { operationId, reason, force: options.force ?? false };
    const answer = await this.#call((callOptions) => this.rpc.cancelOperation(request, callOptions), options);
    return answer && demand(answer.operation, "CancelOperation");
  }

  /**
   * Yields the operation now and after each change, to its end. Throws the server's error when it answers with one, or
   * stays away for longer than `retryForMs`.
   */
  async *watch(operationId: string, options: WatchOptions = {}): AsyncGenerator<OperationInfo> {
    let revision = 0n;
    let answer: Answer | undefined;
    for (;;) {
      answer = await this.#next(operationId, revision, answer, options);
      if (!answer) return;
      const { operation } = answer;
      // A host that keeps no revisions leaves them 0.
      if (operation && (operation.revision > revision || operation.revision === 0n)) {
        revision = operation.revision;
        const done = isDone(operation);
        if (done || !options.untilDone) yield operation;
        if (done) return;
      }
    }
  }

  /** Polls to the operation's end and answers it; undefined when the signal ends that first. */
  async waitUntilDone(operationId: string, options: PollingOptions = {}): Promise<OperationInfo | undefined> {
    for await (const operation of this.watch(operationId, { ...options, untilDone: true })) return operation;
    return undefined;
  }

  /**
   * Yields metric records after a cursor, page by page, each record once. Ends when there are no more; with `follow`,
   * when the operation has ended and there are no more.
   */
  async *metrics(operationId: string, options: MetricsOptions = {}): AsyncGenerator<MetricsPage> {
    let { cursor = 0n, latest = false } = options;
    let paceMs = this.#paceMs(undefined, options);
    for (;;) {
      const request = { operationId, cursor, maxRecords: options.maxRecords ?? 0, latest };
      const page = await this.#call((callOptions) => this.rpc.getMetrics(request, callOptions), options, paceMs);
      if (!page) return;
      const moved = page.newCursor > cursor;
      if (moved && page.metrics) {
        cursor = page.newCursor;
        latest = false;
        yield { metrics: page.metrics, cursor };
      }
      if (moved && page.hasMore) continue;
      if (!options.follow || !page.pollAfter) return;
      paceMs = this.#paceMs(page.pollAfter, options);
      await this.#clock.pause(paceMs, options.signal);
    }
  }

  /** The next answer about an operation after the last one, later than `knownRevision` if the server can wait for that. */
  async #next(
    operationId: string,
    knownRevision: bigint,
    last: Answer | undefined,
    options: WatchOptions,
  ): Promise<Answer | undefined> {
    // With no revision to compare, a wait would pass over what has happened before it.
    if (this.#waitIsServed && knownRevision !== 0n) {
      const paceMs = this.#paceMs(last?.hasWaited ? last.pollAfter : undefined, options);
      await this.#clock.pause(paceMs, options.signal);
      try {
        return await this.#wait(operationId, knownRevision, options, paceMs);
      } catch (error) {
        if (ConnectError.from(error).code !== Code.Unimplemented) throw error;
        this.#waitIsServed = false;
      }
    }
    const paceMs = this.#paceMs(last?.pollAfter, options);
    if (last) await this.#clock.pause(paceMs, options.signal);
    const request = { operationId, knownRevision };
    return this.#call((callOptions) => this.rpc.getOperation(request, callOptions), options, paceMs);
  }

  async #wait(
    operationId: string,
    knownRevision: bigint,
    options: WatchOptions,
    paceMs: number,
  ): Promise<Answer | undefined> {
    const timeout = { seconds: BigInt(waitMs / 1000) };
    const request = { operationId, knownRevision, timeout, untilDone: options.untilDone ?? false };
    const timeoutMs = waitMs + waitGraceMs;
    const answer = await this.#call(
      (callOptions) => this.rpc.waitOperation(request, { ...callOptions, timeoutMs }),
      options,
      paceMs,
    );
    return answer && { ...answer, hasWaited: true };
  }

  #call<T>(
    call: (callOptions: CallOptions) => Promise<T>,
    options: RetryOptions,
    paceMs?: number,
  ): Promise<T | undefined> {
    const callOptions = options.signal ? { signal: options.signal } : {};
    return retryUnreachable(() => call(callOptions), options, this.#clock, paceMs);
  }

  /** The time between two calls, in milliseconds. */
  #paceMs(pollAfter: Duration | undefined, { minimumMs = 250 }: PollingOptions): number {
    const advisedMs = pollAfter ? Math.min(durationMs(pollAfter), maximumPauseMs) : 0;
    return Math.max(minimumMs, advisedMs) * (1 + spread * this.#clock.random());
  }
}

function demand(operation: OperationInfo | undefined, method: string): OperationInfo {
  if (!operation) throw new ConnectError(`${method} was answered without an operation`, Code.Internal);
  return operation;
}
