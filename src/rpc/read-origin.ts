import { createContextKey } from "@connectrpc/connect";
import { context } from "@opentelemetry/api";
import { type CallOrigin, ownerHeader, viaHeader } from "../operations/call-origin.ts";
import { CallError } from "../operations/errors.ts";

/** How the call came here, for handlers. */
export const originKey = createContextKey<CallOrigin>({ via: [] }, { description: "how the call came here" });

const nowhere: readonly string[] = [];

/** Reads how a call came here; refuses one that goes round in circles or has come too far. */
export function readOrigin(headers: Headers, instanceId: string, maxHops: number): CallOrigin {
  const text = headers.get(viaHeader);
  const via = text ? text.split(",").filter((instance) => instance !== "") : nowhere;
  if (via.includes(instanceId)) {
    throw new CallError("ROUTING_LOOP", "the call has passed this server before; check the hosts' routes");
  }
  if (via.length > maxHops) {
    throw new CallError("TOO_MANY_HOPS", `the call has passed ${via.length} servers; at most ${maxHops} are allowed`);
  }
  const owner = headers.get(ownerHeader);
  const trace = context.active();
  return owner ? { via, trace, owner } : { via, trace };
}
