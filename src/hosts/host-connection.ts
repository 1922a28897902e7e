import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import { type Context, context } from "@opentelemetry/api";
import type { Logger } from "pino";
import type { Freshness, OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  type CreateOperationRequest,
  type GetMetricsResponse,
  OperationsService,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { ClientCredentials } from "../client/client-credentials.ts";
import { withFastLane } from "../client/fast-lane/fast-lane.ts";
import { createGrpcJsTransport, type GrpcTransport } from "../client/grpc-transport.ts";
import { type CallOrigin, viaHeader } from "../operations/call-origin.ts";
import { sharedContext } from "../tracing/spans.ts";
import { createDenialLog } from "./denial-log.ts";
import { askHost, type HostAnswer } from "./host-answer.ts";
import { createHostBreaker, type HostBackoff, type HostBreaker } from "./host-breaker.ts";
import { type TracedCall, traceCalls } from "./trace-calls.ts";

const methods = OperationsService.method;

/** The most operations of one BatchGetOperations. */
const maximumBatch = 1_000;
/** Single Gets under way at once, where a host does not serve BatchGetOperations. */
const singleGets = 32;
/** How long a host may hold a WaitOperation, in milliseconds: how late its silence is noticed by waiters. */
const waitMs = 5_000;
/** Metric records asked for at once. */
const metricsPage = 10_000;
/** What max_staleness means when it is unset, in milliseconds. */
const defaultStalenessMs = 1_000;

/** What speaking with a host needs to know. */
export interface HostConnectionOptions {
  readonly url: string;
  /** How long one call may take, in milliseconds. */
  readonly callTimeoutMs: number;
  /** This server's name in the way a call has come. */
  readonly serverId: string;
  /** How long a host that does not answer is left alone. */
  readonly backoff: HostBackoff;
  /** Sent with every call. Default none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** With what this server proves who it is. Default: with nothing. */
  readonly credentials?: ClientCredentials;
  /** Told when the host does not accept that. Default: nobody. */
  readonly log?: Logger;
}

/** What a host says of an operation. */
export interface HostView {
  /** Unset when it is still at the known revision. */
  readonly info: OperationInfo | undefined;
  /** What the host says of how old that is. */
  readonly freshness: Partial<Freshness> | undefined;
}

type HostState = HostAnswer<HostView>;

/** In what a call is not like the others. */
interface CallCircumstances {
  readonly origin?: CallOrigin;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface WaitingGet {
  readonly operationId: string;
  readonly knownRevision: bigint;
  readonly maxStalenessMs: number;
  /** What it is asked for. */
  readonly cause: Context;
  readonly resolve: (state: HostState) => void;
}

/**
 * The calls this server makes to one host.
 *
 * I1 Gets that are asked for in the same turn of the event loop travel as one batch, so a sweep costs a host one call.
 * I2 A method the host answers UNIMPLEMENTED is not called again.
 * I3 A host that does not answer is called once in a while, however many operations it has; waits do not count, for
 *    they take long by themselves.
 */
export class HostConnection {
  readonly url: string;
  readonly #transport: GrpcTransport;
  readonly #traced: TracedCall;
  readonly #options: HostConnectionOptions;
  readonly #breaker: HostBreaker;
  readonly #noteDenials: ((answer: HostAnswer<unknown>) => void) | undefined;
  readonly #unimplemented = new Set<"batch" | "wait" | "metrics">();
  #waiting: WaitingGet[] = [];

  constructor(options: HostConnectionOptions) {
    this.url = options.url;
    this.#options = options;
    this.#breaker = createHostBreaker(options.url, options.backoff);
    const { url, credentials, log } = options;
    this.#noteDenials = log && createDenialLog(url, log);
    this.#traced = traceCalls(url);
    const target = { baseUrl: url, ...(credentials && { credentials }) };
    // What polls and waits cause. The answers of the others may be long, and are packed by the transport.
    const frequent = [methods.getOperation, methods.waitOperation];
    this.#transport = withFastLane(createGrpcJsTransport(target), { ...target, methods: frequent });
  }

  /** Whether there is a connection, or can be within the call timeout. */
  isReachable(signal: AbortSignal): Promise<boolean> {
    return this.#transport.waitForReady(this.#options.callTimeoutMs, signal);
  }

  /** Gives the host an operation; safe to repeat. */
  create(request: CreateOperationRequest, origin: CallOrigin): Promise<HostAnswer<OperationInfo | undefined>> {
    return this.#ask(async () => (await this.#call(methods.createOperation, request, { origin })).operation);
  }

  /**
   * The state of an operation, unless it is still at the known revision. `maxStalenessMs` is how old the host's own
   * observation may be. Takes a call's time, and no more than a second one's where very many are asked for at once.
   */
  get(operationId: string, knownRevision: bigint, maxStalenessMs: number): Promise<HostState> {
    return new Promise((resolve) => {
      if (this.#waiting.length === 0) {
        queueMicrotask(() => void this.#sendWaiting());
      }
      this.#waiting.push({ operationId, knownRevision, maxStalenessMs, cause: context.active(), resolve });
    });
  }

  /** A page of metric records; undefined when the host keeps none. */
  async metrics(operationId: string, cursor: number): Promise<HostAnswer<GetMetricsResponse | undefined>> {
    if (this.#unimplemented.has("metrics")) {
      return { outcome: "answered", value: undefined };
    }
    const request = { operationId, cursor: BigInt(cursor), maxRecords: metricsPage };
    const answer = await this.#ask(() => this.#call(methods.getMetrics, request));
    if (answer.outcome === "unimplemented") {
      this.#unimplemented.add("metrics");
      return { outcome: "answered", value: undefined };
    }
    return answer;
  }

  /** Passes a cancellation on; safe to repeat. */
  cancel(operationId: string, reason: string, force: boolean): Promise<HostAnswer<unknown>> {
    return this.#ask(() => this.#call(methods.cancelOperation, { operationId, reason, force }));
  }

  /** Resolves when the host says that an operation has changed, or after a while; with false when it cannot be asked. */
  async waitForChange(operationId: string, knownRevision: bigint, signal: AbortSignal): Promise<boolean> {
    if (this.#unimplemented.has("wait") || knownRevision === 0n || !this.#breaker.isClosed) {
      return false;
    }
    const request = { operationId, knownRevision, timeout: { seconds: BigInt(waitMs / 1000) } };
    const options = { timeoutMs: waitMs + this.#options.callTimeoutMs, signal };
    const answer = await askHost(this.url, () => this.#call(methods.waitOperation, request, options));
    if (answer.outcome === "unimplemented") {
      this.#unimplemented.add("wait");
    }
    return answer.outcome === "answered";
  }

  /** Closes the connection; calls under way end as unreachable. */
  close(): void {
    this.#transport.close();
  }

  async #ask<T>(call: () => Promise<T>): Promise<HostAnswer<T>> {
    const answer = await this.#breaker.run(() => askHost(this.url, call));
    this.#noteDenials?.(answer);
    return answer;
  }

  #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { origin, timeoutMs = this.#options.callTimeoutMs, signal }: CallCircumstances = {},
  ): Promise<MessageShape<O>> {
    const { serverId, headers } = this.#options;
    const via = origin ? [...origin.via, serverId].join(",") : serverId;
    return this.#traced(method, async (traceHeaders) => {
      const all = { ...headers, ...traceHeaders, [viaHeader]: via };
      return (await this.#transport.unary(method, signal, timeoutMs, all, request)).message;
    });
  }

  async #sendWaiting(): Promise<void> {
    const gets = this.#waiting;
    this.#waiting = [];
    const untilMs = performance.now() + this.#options.callTimeoutMs;
    if (gets.length === 1 || this.#unimplemented.has("batch")) {
      await this.#sendSingly(gets, untilMs);
      return;
    }
    for (let from = 0; from < gets.length; from += maximumBatch) {
      const some = gets.slice(from, from + maximumBatch);
      if (performance.now() < untilMs) {
        await this.#sendBatch(some, untilMs);
      } else {
        this.#giveUp(some);
      }
    }
  }

  /** Answers Gets whose turn has not come in time. */
  #giveUp(gets: readonly WaitingGet[]): void {
    const reason = `host ${this.url}: no answer within ${this.#options.callTimeoutMs} ms`;
    for (const { resolve } of gets) {
      resolve({ outcome: "unreachable", reason, isSilent: false });
    }
  }

  async #sendBatch(gets: readonly WaitingGet[], untilMs: number): Promise<void> {
    const operations = gets.map(({ operationId, knownRevision }) => ({ operationId, knownRevision }));
    const maxStalenessMs = Math.min(...gets.map((one) => one.maxStalenessMs));
    const request = { operations, ...maxStaleness(maxStalenessMs) };
    const answer = await context.with(sharedContext(gets.map(({ cause }) => cause)), () =>
      this.#ask(() => this.#call(methods.batchGetOperations, request)),
    );
    if (answer.outcome === "unimplemented") {
      this.#unimplemented.add("batch");
      await this.#sendSingly(gets, untilMs);
      return;
    }
    if (answer.outcome !== "answered") {
      for (const { resolve } of gets) {
        resolve(answer);
      }
      return;
    }
    const { observedAt } = answer.value;
    const changed = new Map(answer.value.operations.map((info) => [info.operationId, info]));
    const notFound = new Set(answer.value.notFound);
    for (const { operationId, resolve } of gets) {
      resolve(
        notFound.has(operationId)
          ? { outcome: "gone", reason: `host ${this.url} does not know the operation` }
          : { outcome: "answered", value: { info: changed.get(operationId), freshness: leftOut(observedAt) } },
      );
    }
  }

  async #sendSingly(gets: readonly WaitingGet[], untilMs: number): Promise<void> {
    for (let from = 0; from < gets.length; from += singleGets) {
      const some = gets.slice(from, from + singleGets);
      if (performance.now() < untilMs) {
        await Promise.all(some.map((get) => context.with(get.cause, () => this.#sendOne(get))));
      } else {
        this.#giveUp(some);
      }
    }
  }

  async #sendOne({ operationId, knownRevision, maxStalenessMs, resolve }: WaitingGet): Promise<void> {
    const request = { operationId, knownRevision, ...maxStaleness(maxStalenessMs) };
    const answer = await this.#ask(() => this.#call(methods.getOperation, request));
    if (answer.outcome === "answered") {
      const { operation: info, freshness } = answer.value;
      resolve({ outcome: "answered", value: { info, freshness } });
    } else {
      resolve(answer);
    }
  }
}

/** What a batch says of an operation that it leaves out: one that is stale would be there. */
function leftOut(observedAt: Timestamp | undefined): Partial<Freshness> {
  return { stale: false, staleReason: "", ...(observedAt && { observedAt }) };
}

/** The field of a request, where less is wanted than a host allows by itself. */
function maxStaleness(ms: number): { maxStaleness?: Duration } {
  return ms < defaultStalenessMs ? { maxStaleness: durationFromMs(ms) } : {};
}
