import { create } from "@bufbuild/protobuf";
import { FreshnessSchema, type OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { isTerminal } from "../operations/life-cycle.ts";
import type {
  CancelDelivery,
  CancelRequest,
  OperationSource,
  PullRequest,
  PullResult,
} from "../operations/operation-source.ts";
import { pause } from "../operations/pause.ts";
import { isDenial } from "./host-answer.ts";
import type { HostConnection, HostView } from "./host-connection.ts";
import { hostRecords } from "./host-records.ts";

/** Time between two pulls for waiters, where the host cannot tell when something changes, in milliseconds. */
const pollMs = 1_000;

/** The source of an operation that runs on a host. */
export class RemoteSource implements OperationSource {
  readonly host: string;
  readonly #connection: HostConnection;
  readonly #operationId: string;
  #last: OperationInfo | undefined;

  constructor(connection: HostConnection, operationId: string) {
    this.host = connection.url;
    this.#connection = connection;
    this.#operationId = operationId;
  }

  async pull(request: PullRequest): Promise<PullResult> {
    const { cursor, metrics, dropsRecords, maxStalenessMs } = request;
    const known = this.#last?.revision ?? 0n;
    const state = await this.#connection.get(this.#operationId, known, maxStalenessMs);
    if (state.outcome === "gone") {
      return state;
    }
    if (state.outcome !== "answered") {
      return { outcome: "unreachable", reason: state.reason, isThere: isDenial(state) };
    }
    const info = state.value.info ?? (this.#last && seenAs(this.#last, state.value.freshness));
    if (info?.operationId !== this.#operationId) {
      const what = info ? `operation ${info.operationId}` : "no operation";
      return { outcome: "unreachable", reason: `host ${this.host} answered with ${what}` };
    }
    this.#last = info;
    // A host that leaves metrics_cursor unset may have records all the same.
    const mayHaveMore = info.metricsCursor === 0n || BigInt(cursor) < info.metricsCursor;
    if (dropsRecords || !mayHaveMore || !(metrics || isTerminal(info.status))) {
      return { outcome: "observed", info, records: [], hasMore: false };
    }
    return this.#withRecords(info, cursor, request.signal);
  }

  async cancel({ reason, force }: CancelRequest): Promise<CancelDelivery> {
    const answer = await this.#connection.cancel(this.#operationId, reason, force);
    switch (answer.outcome) {
      case "answered":
        return { outcome: "delivered" };
      case "gone":
        return answer;
      default:
        return { outcome: "unreachable", reason: answer.reason };
    }
  }

  readonly waitForChange = async (signal: AbortSignal): Promise<void> => {
    const known = this.#last?.revision ?? 0n;
    if (!(await this.#connection.waitForChange(this.#operationId, known, signal))) {
      await pause(pollMs, signal);
    }
  };

  close(): void {
    this.#last = undefined;
  }

  async #withRecords(info: OperationInfo, cursor: number, signal: AbortSignal): Promise<PullResult> {
    const page = await orAborted(this.#connection.metrics(this.#operationId, cursor), signal);
    if (page.outcome === "gone") {
      // It was there a moment ago: the host has just removed it, and its records with it.
      return { outcome: "observed", info, records: [], hasMore: false };
    }
    if (page.outcome !== "answered") {
      return { outcome: "unreachable", reason: page.reason, isThere: isDenial(page) };
    }
    const records = hostRecords(page.value?.metrics, cursor);
    if (typeof records === "string") {
      return { outcome: "unreachable", reason: `host ${this.host} ${records}` };
    }
    return { outcome: "observed", info, records, hasMore: (page.value?.hasMore ?? false) && records.length > 0 };
  }
}

/** A snapshot that the host has confirmed. */
function seenAs(info: OperationInfo, seen: HostView["freshness"]): OperationInfo {
  return { ...info, freshness: { ...(info.freshness ?? create(FreshnessSchema)), ...seen } };
}

/** The promise, or the signal's reason if that aborts first. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
