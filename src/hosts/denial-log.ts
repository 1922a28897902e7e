import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import { type HostAnswer, isDenial } from "./host-answer.ts";

/** Different refusals that are remembered as told. */
const refusalsKnown = 100;

/** Tells the log when a host begins and ends to accept this server's credentials, and once of each thing it denies. */
export function createDenialLog(url: string, log: Logger): (answer: HostAnswer<unknown>) => void {
  const told = new LRUCache<string, true>({ max: refusalsKnown });
  let isShutOut = false;
  return (answer) => {
    if (answer.outcome === "unreachable") {
      if (answer.isShutOut && !isShutOut) {
        isShutOut = true;
        log.error({ url, reason: answer.reason }, "a host does not accept this server's credentials");
      }
      return;
    }
    if (isShutOut) {
      isShutOut = false;
      log.info({ url }, "a host accepts this server's credentials again");
    }
    if (answer.outcome === "refused" && isDenial(answer) && !told.has(answer.reason)) {
      told.set(answer.reason, true);
      log.error({ url, reason: answer.reason }, "a host does not allow this server what it asked for");
    }
  };
}
