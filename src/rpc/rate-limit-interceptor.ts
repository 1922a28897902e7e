import type { Interceptor } from "@connectrpc/connect";
import { TokenBucket } from "limiter";
import { LRUCache } from "lru-cache";
import { CallError } from "../operations/errors.ts";
import { anonymous, callerKey } from "./caller.ts";
import { peerKey } from "./peer-key.ts";

/** How often one caller may call. */
export interface RateLimit {
  readonly perSecond: number;
  /** Calls at once. */
  readonly burst: number;
}

/** Callers that are remembered; of more, those that have not called for the longest time begin anew. */
const rememberedCallers = 10_000;

/**
 * Refuses calls of a caller who makes too many, with RATE_LIMITED and the time until the next one. Callers are told
 * apart by their name, and by their address where nobody is asked who they are.
 */
export function createRateLimitInterceptor({ perSecond, burst }: RateLimit): Interceptor {
  const buckets = new LRUCache<string, TokenBucket>({ max: rememberedCallers });
  const bucketOf = (caller: string) => {
    let bucket = buckets.get(caller);
    if (!bucket) {
      bucket = new TokenBucket({ bucketSize: burst, tokensPerInterval: perSecond, interval: "second" });
      bucket.content = burst;
      buckets.set(caller, bucket);
    }
    return bucket;
  };
  return (next) => (request) => {
    const { name } = request.contextValues.get(callerKey);
    const caller = name === anonymous.name ? networkOf(request.contextValues.get(peerKey).address) : name;
    const bucket = bucketOf(caller);
    if (!bucket.tryRemoveTokens(1)) {
      throw new CallError("RATE_LIMITED", `this caller may make ${perSecond} calls a second; it has made more`, {
        retryAfterMs: bucket.getWaitTime(1),
      });
    }
    return next(request);
  };
}

/** Whom an address belongs to: one of IPv6 is one of a /64 network's, which is given to one client as a whole. */
function networkOf(address: string): string {
  if (!address.includes(":") || address.startsWith("::ffff:")) {
    return address;
  }
  const [head = "", tail] = address.split("::");
  const groups = head.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - tail.split(":").length;
  return [...groups, ...Array<string>(zeros).fill("0"), ...(tail ?? "").split(":")].slice(0, 4).join(":");
}
