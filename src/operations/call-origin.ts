/** Request header that names the servers a call has passed: instance ids, comma-separated, the first one first. */
export const viaHeader = "longhaul-via";
/** Request header of the W3C trace context. */
export const traceparentHeader = "traceparent";

/** What a call says of the way it came; empty for calls made in this process. */
export interface CallOrigin {
  /** Instance ids of the servers the call has passed, the first one first. */
  readonly via: readonly string[];
  /** Trace context of the call, to be passed on. */
  readonly traceparent?: string;
}
