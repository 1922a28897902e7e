import { createContextKey } from "@connectrpc/connect";

/** Who makes a call. */
export interface Caller {
  /** For logs and limits: the subject of a token, a SPIFFE id, or "anonymous". */
  readonly name: string;
}

/** The caller of servers that ask nobody who they are. */
export const anonymous: Caller = { name: "anonymous" };

/** Who makes the call, for handlers and interceptors. */
export const callerKey = createContextKey<Caller>(anonymous, { description: "who makes the call" });
