import { trace } from "@opentelemetry/api";
import { CallError } from "../operations/errors.ts";
import type { OperationStore } from "../operations/operation-store.ts";
import { inSpan } from "../tracing/spans.ts";

/** Counts the calls of a store. */
export interface StoreMeter {
  called(call: string, outcome: "ok" | "unavailable" | "error", seconds: number): void;
}

/** Counts nothing. */
export const noStoreMeter: StoreMeter = { called: () => {} };

type StoreCall = Exclude<keyof OperationStore, "trouble" | "close">;

/** What each call does. */
const storeCalls = {
  create: "write",
  get: "read",
  getMany: "read",
  claim: "write",
  ownedBy: "read",
  release: "write",
  changedByOthers: "read",
  replace: "write",
  list: "read",
  count: "read",
  appendMetrics: "write",
  metricsLog: "read",
  readMetrics: "read",
  expire: "write",
  delete: "write",
  expiredAt: "read",
} as const satisfies Record<StoreCall, "read" | "write">;

/**
 * The store, with its calls counted and shown in traces: writes always, reads when a call is traced of which they are
 * part.
 */
export function observedStore(store: OperationStore, meter: StoreMeter): OperationStore {
  const observe = (call: StoreCall, kind: "read" | "write") => {
    const run = store[call].bind(store) as (...args: unknown[]) => Promise<unknown>;
    const name = `longhaul store.${call}`;
    const options = { attributes: { "db.operation.name": call } };
    const measured = async (...args: unknown[]) => {
      const startedMs = performance.now();
      const seconds = () => (performance.now() - startedMs) / 1_000;
      try {
        const result = await run(...args);
        meter.called(call, "ok", seconds());
        return result;
      } catch (error) {
        const isUnavailable = error instanceof CallError && error.reason === "STORE_UNAVAILABLE";
        meter.called(call, isUnavailable ? "unavailable" : "error", seconds());
        throw error;
      }
    };
    return (...args: unknown[]) =>
      kind === "write" || trace.getActiveSpan()?.isRecording()
        ? inSpan(name, options, () => measured(...args))
        : measured(...args);
  };
  const calls = Object.entries(storeCalls) as [StoreCall, "read" | "write"][];
  const observed = Object.fromEntries(calls.map(([call, kind]) => [call, observe(call, kind)]));
  return {
    ...(observed as unknown as Pick<OperationStore, StoreCall>),
    get trouble() {
      return store.trouble;
    },
    close: () => store.close(),
  };
}
