import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import { onTestFinished } from "vitest";

/** Who issues JWTs for a test, with an HTTP endpoint for its keys. */
export interface TokenIssuer {
  /** For the configuration of servers that trust it. */
  readonly settings: { readonly jwksUrl: string; readonly jwtIssuer: string; readonly jwtAudience: string };
  /** How often the keys were fetched. */
  readonly fetches: () => number;
  /** A token that is good, unless the claims say otherwise. `names` says whether it names its key; default true. */
  token(claims?: Record<string, unknown>, names?: boolean): Promise<string>;
  /** A token signed by HMAC with the public key as the secret: what a server that trusts its header would accept. */
  confusedToken(claims?: Record<string, unknown>): Promise<string>;
  /** Signs with a new key from now on, which the endpoint serves beside the old ones. */
  rotate(): Promise<void>;
  /** Answers nothing but 503 from now on, or the keys again. */
  setDown(isDown: boolean): void;
  /** The newest public key, as PEM. */
  publicKey(): Promise<string>;
  /** The key set, as JSON. */
  keySet(): string;
}

const issuer = "https://issuer.test";
const audience = "longhaul";

/** Starts an issuer; its endpoint stops when the running test ends. */
export async function startTokenIssuer(): Promise<TokenIssuer> {
  const keys: { kid: string; pair: Awaited<ReturnType<typeof generateKeyPair>>; jwk: object }[] = [];
  const rotate = async () => {
    const kid = `key-${keys.length + 1}`;
    const pair = await generateKeyPair("ES256", { extractable: true });
    keys.push({ kid, pair, jwk: { ...(await exportJWK(pair.publicKey)), kid, alg: "ES256", use: "sig" } });
  };
  await rotate();
  const newest = () => {
    const key = keys.at(-1);
    if (!key) throw new Error("there is no key");
    return key;
  };
  const keySet = () => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });
  let fetches = 0;
  let isDown = false;
  const server = createServer((_request, response) => {
    fetches += 1;
    response.writeHead(isDown ? 503 : 200, { "content-type": "application/json" }).end(isDown ? "{}" : keySet());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const claimsOf = (claims: Record<string, unknown>): Record<string, unknown> => {
    const nowSeconds = Math.floor(Date.now() / 1_000);
    return { iss: issuer, aud: audience, sub: "ada", iat: nowSeconds, exp: nowSeconds + 600, ...claims };
  };
  const publicKey = () => exportSPKI(newest().pair.publicKey);
  return {
    settings: {
      jwksUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
      jwtIssuer: issuer,
      jwtAudience: audience,
    },
    fetches: () => fetches,
    token: (claims = {}, names = true) => {
      const { kid, pair } = newest();
      const header = { alg: "ES256", ...(names && { kid }) };
      return new SignJWT(claimsOf(claims)).setProtectedHeader(header).sign(pair.privateKey);
    },
    confusedToken: async (claims = {}) => {
      const secret = new TextEncoder().encode(await publicKey());
      return new SignJWT(claimsOf(claims)).setProtectedHeader({ alg: "HS256", kid: newest().kid }).sign(secret);
    },
    rotate,
    setDown: (down) => {
      isDown = down;
    },
    publicKey,
    keySet,
  };
}
