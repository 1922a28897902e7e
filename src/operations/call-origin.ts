import type { Context } from "@opentelemetry/api";

/** Request header that names the servers a call has passed: instance ids, comma-separated, the first one first. */
export const viaHeader = "longhaul-via";
/**
 * Request header of a call that one of several servers over one store makes to another: the instance id of the one it
 * is meant for, which answers only for operations that it owns.
 */
export const ownerHeader = "longhaul-owner";

/** What a call says of the way it came; empty for calls made in this process. */
export interface CallOrigin {
  /** Instance ids of the servers the call has passed, the first one first. */
  readonly via: readonly string[];
  /** The instance the call is meant for; see `ownerHeader`. Unset for every other call. */
  readonly owner?: string;
  /** The trace of the call, for what it causes once it has been answered. */
  readonly trace?: Context;
}
