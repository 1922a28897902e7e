import { createContextKey } from "@connectrpc/connect";
import type { CallerAccess } from "../access/caller-access.ts";

/** Who makes a call. */
export interface Caller {
  /** For logs and limits: the subject of a token, a SPIFFE id, or "anonymous". */
  readonly name: string;
  /** What it may do. Unset when nobody has asked who it is. */
  readonly access?: CallerAccess;
}

/** The caller of servers that ask nobody who they are, and of methods that are for everybody. */
export const anonymous: Caller = { name: "anonymous" };

/** Who makes the call, for handlers and interceptors. */
export const callerKey = createContextKey<Caller>(anonymous, { description: "who makes the call" });
