import type { X509Certificate } from "node:crypto";
import type { JWTVerifyGetKey } from "jose";
import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import { type WatchedFile, watchFile } from "../files/watched-file.ts";
import { unauthenticated } from "./access-errors.ts";
import { keysFrom } from "./file-keys.ts";
import { type JwtRules, verifyJwt } from "./jwt-verifier.ts";
import type { Principal } from "./principal.ts";
import { remoteKeys } from "./remote-keys.ts";
import { spiffeIdOf } from "./spiffe-id.ts";
import { findToken, type StaticToken, staticTokensFrom } from "./static-tokens.ts";
import { digestOf } from "./token-digest.ts";

/** How callers prove who they are. An empty text is unset. */
export interface AuthenticatorOptions {
  /** URL of the JSON Web Key Set that JWTs are signed with. */
  readonly jwksUrl: string;
  /** File with the key or keys that JWTs are signed with, instead. */
  readonly jwtKeyFile: string;
  readonly jwt: JwtRules;
  /** File of static tokens. */
  readonly tokensFile: string;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** What calls come over; the same object for all calls of one. */
export interface Connection {
  /** The client's, which must have been verified. */
  readonly certificate?: X509Certificate;
}

/** Finds out who makes a call. */
export interface Authenticator {
  /**
   * Who has sent this `authorization` header over a connection. A header decides alone, whatever the certificate says.
   * `nowMs` is the time of the call. Throws or rejects with a CallError UNAUTHENTICATED.
   */
  authenticate(authorization: string | null, over: Connection, nowMs: number): Principal | Promise<Principal>;
}

/** A token that was found good. It stays so until a time, and as long as what vouches for it is the same. */
interface KnownToken {
  readonly principal: Principal;
  readonly untilMs: number;
  readonly vouchedBy: object;
}

const bearerPattern = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;
const jwtPattern = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const knownTokens = 10_000;
/** How long a token that was verified is taken on trust, in milliseconds: how late a withdrawn key is noticed. */
const trustMs = 5 * 60_000;

/** Makes an authenticator. Throws an Error that names the file that cannot be read. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { now, jwt, log, tokensFile } = options;
  const tokens: WatchedFile<readonly StaticToken[]> | undefined =
    tokensFile === ""
      ? undefined
      : watchFile({ paths: [tokensFile], what: "the tokens file", parse: staticTokensFrom, log, now });
  const keys = keysOf(options);
  // By digest, so that no token stays in memory.
  const known = new LRUCache<string, KnownToken>({ max: knownTokens });
  // But one as long as its connection, which has it in its own tables anyway: the digest is most of what a known token
  // costs, and callers send the same one again and again. Only who shares the connection could time the comparison.
  const lastOver = new WeakMap<Connection, { readonly authorization: string; readonly token: KnownToken }>();
  const spiffeIds = new WeakMap<X509Certificate, Principal>();

  const isGood = ({ untilMs, vouchedBy }: KnownToken, nowMs: number) =>
    nowMs < untilMs && (vouchedBy === tokens?.current(nowMs) || vouchedBy === keys?.current(nowMs));

  const byHeader = (authorization: string, over: Connection, nowMs: number): Principal | Promise<Principal> => {
    const last = lastOver.get(over);
    if (last?.authorization === authorization && isGood(last.token, nowMs)) {
      return last.token.principal;
    }
    const token = bearerPattern.exec(authorization)?.[1];
    if (token === undefined) {
      throw unauthenticated("the authorization header holds no bearer token");
    }
    const digest = digestOf(token);
    const seen = known.get(digest);
    if (seen && isGood(seen, nowMs)) {
      lastOver.set(over, { authorization, token: seen });
      return seen.principal;
    }
    const listed = tokens && findToken(tokens.current(nowMs), digest);
    if (tokens && listed) {
      const principal: Principal = { kind: "token", name: listed.name };
      known.set(digest, { principal, untilMs: Number.POSITIVE_INFINITY, vouchedBy: tokens.current(nowMs) });
      return principal;
    }
    if (!keys || !jwtPattern.test(token)) {
      throw unauthenticated("the token is not valid");
    }
    return byJwt(token, digest, keys.current(nowMs));
  };

  const byJwt = async (token: string, digest: string, findKey: JWTVerifyGetKey): Promise<Principal> => {
    const { subject, claims, expiresAtMs } = await verifyJwt(token, findKey, jwt, now());
    const principal: Principal = { kind: "jwt", name: subject, claims };
    known.set(digest, { principal, untilMs: Math.min(expiresAtMs, now() + trustMs), vouchedBy: findKey });
    return principal;
  };

  const byCertificate = (certificate: X509Certificate, nowMs: number): Principal => {
    let principal = spiffeIds.get(certificate);
    if (!principal) {
      const name = spiffeIdOf(certificate);
      if (name === undefined) {
        throw unauthenticated("the client certificate does not name exactly one SPIFFE id, and there is no token");
      }
      principal = { kind: "spiffe", name };
      spiffeIds.set(certificate, principal);
    }
    // A connection may outlive the certificate it was made with.
    if (nowMs > certificate.validToDate.getTime()) {
      throw unauthenticated("the client certificate has expired");
    }
    return principal;
  };

  return {
    authenticate: (authorization, over, nowMs) => {
      if (authorization !== null) {
        return byHeader(authorization, over, nowMs);
      }
      if (over.certificate) {
        return byCertificate(over.certificate, nowMs);
      }
      throw unauthenticated("the call carries no credential: neither a bearer token nor a verified client certificate");
    },
  };
}

/** The keys of JWTs; undefined when none are accepted. */
function keysOf({ jwksUrl, jwtKeyFile, log, now }: AuthenticatorOptions): WatchedFile<JWTVerifyGetKey> | undefined {
  if (jwksUrl !== "") {
    const keys = remoteKeys({ url: jwksUrl, log, now });
    return { current: () => keys };
  }
  return jwtKeyFile === ""
    ? undefined
    : watchFile({ paths: [jwtKeyFile], what: "the key file of JWTs", parse: keysFrom, log, now });
}
