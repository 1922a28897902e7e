import { createLocalJWKSet, createRemoteJWKSet, errors, type JWTVerifyGetKey } from "jose";
import type { Logger } from "pino";
import { CallError } from "../operations/errors.ts";

/** Where keys are fetched from. */
export interface RemoteKeysOptions {
  /** URL of a JSON Web Key Set. */
  readonly url: string;
  readonly log: Logger;
  /** Milliseconds since any fixed instant. */
  readonly now: () => number;
}

/** How long one fetch may take, in milliseconds. */
const fetchTimeoutMs = 2_000;
/** Age from which known keys are fetched again, in milliseconds. */
const refreshAfterMs = 10 * 60_000;
/** How long after a fetch an unknown key causes no other one, in milliseconds. */
const cooldownMs = 30_000;
/** How long after a fetch that failed no other one is tried, in milliseconds. */
const downMs = 5_000;

/**
 * The keys at a URL, fetched when a token names one that is not known, and now and then.
 *
 * Nobody waits for a fetch whose key is known, so that an endpoint that is down locks out no token it has ever vouched
 * for. A key that cannot be looked up because the endpoint is down is a CallError AUTHENTICATION_UNAVAILABLE.
 */
export function remoteKeys({ url, log, now }: RemoteKeysOptions): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(new URL(url), {
    timeoutDuration: fetchTimeoutMs,
    cooldownDuration: cooldownMs,
    // Keys that are old are better than none; they are refreshed beside the calls.
    cacheMaxAge: Number.POSITIVE_INFINITY,
  });
  const { origin, pathname } = new URL(url);
  let refreshDueMs = now() + refreshAfterMs;
  let downUntilMs = Number.NEGATIVE_INFINITY;
  let knownWhenDown: JWTVerifyGetKey | undefined;

  const failed = (error: unknown): void => {
    if (!knownWhenDown) {
      log.error({ url: origin + pathname, reason: reasonOf(error) }, "the keys of tokens cannot be fetched");
    }
    downUntilMs = now() + downMs;
    refreshDueMs = downUntilMs;
    knownWhenDown = createLocalJWKSet(remote.jwks() ?? { keys: [] });
  };
  const fetched = (): void => {
    if (knownWhenDown) {
      log.info({ url: origin + pathname }, "the keys of tokens can be fetched again");
      knownWhenDown = undefined;
    }
  };
  const refresh = (): void => {
    refreshDueMs = now() + refreshAfterMs;
    remote.reload().then(fetched, failed);
  };

  return async (header, token) => {
    const isDown = now() < downUntilMs;
    if (!isDown && now() >= refreshDueMs && remote.jwks()) {
      refresh();
    }
    try {
      if (isDown && knownWhenDown) {
        return await knownWhenDown(header, token);
      }
      const isFirst = remote.jwks() === undefined;
      const key = await remote(header, token);
      if (isFirst) {
        fetched();
      }
      return key;
    } catch (error) {
      const isUnknown = error instanceof errors.JWKSNoMatchingKey;
      if (isFetchFailure(error)) {
        failed(error);
      } else if (!isUnknown || !isDown) {
        throw error;
      }
      throw new CallError("AUTHENTICATION_UNAVAILABLE", "the key of the token cannot be looked up at the moment", {
        retryAfterMs: 1_000,
      });
    }
  };
}

/** Whether an error says that the key set could not be had, rather than that the token names no key of it. */
function isFetchFailure(error: unknown): boolean {
  const { code } = error as { code?: string };
  return (
    error instanceof TypeError ||
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    code === errors.JOSEError.code
  );
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  return code === undefined ? message : `${message}: ${code}`;
}
