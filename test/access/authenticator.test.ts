import { createHash, generateKeyPairSync } from "node:crypto";
import { pino } from "pino";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type AuthenticatorOptions, createAuthenticator } from "../../src/access/authenticator.ts";
import { CallError } from "../../src/operations/errors.ts";
import { testFile } from "../support/access-files.ts";
import { startTokenIssuer, type TokenIssuer } from "../support/token-issuer.ts";

const algorithms = ["ES256", "RS256"];

/** An authenticator with a clock that a test moves, and what it logs. */
function authenticatorWith(options: Partial<AuthenticatorOptions>, issuer?: TokenIssuer) {
  const clock = { nowMs: Date.now() };
  const lines: string[] = [];
  const log = pino({ level: "trace" }, { write: (line) => void lines.push(line) });
  const { jwtIssuer = "", jwtAudience = "" } = issuer?.settings ?? {};
  const { authenticate } = createAuthenticator({
    jwksUrl: "",
    jwtKeyFile: "",
    jwt: { issuer: jwtIssuer, audience: jwtAudience, algorithms },
    tokensFile: "",
    log,
    now: () => clock.nowMs,
    ...options,
  });
  const connection = {};
  const bearer = async (token: string) => authenticate(`Bearer ${token}`, connection, clock.nowMs);
  const refusal = async (token: string) => {
    const error: unknown = await bearer(token).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return error instanceof CallError ? `${error.reason}: ${error.message}` : error;
  };
  return { authenticate, bearer, refusal, clock, lines };
}

const byUrl = (issuer: TokenIssuer) => authenticatorWith({ jwksUrl: issuer.settings.jwksUrl }, issuer);
const seconds = (ms: number) => Math.floor(ms / 1_000);
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("a JWT", () => {
  test("names its subject and has its claims", async () => {
    const issuer = await startTokenIssuer();
    const principal = await byUrl(issuer).bearer(await issuer.token({ groups: ["ml"] }));
    expect(principal).toMatchObject({ kind: "jwt", name: "ada", claims: { groups: ["ml"] } });
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["has expired", { exp: 1_000_000_000 }, "the token has expired"],
    ["is for another audience", { aud: ["x", "y"] }, "the token is not meant for this service"],
    ["is for no audience", { aud: undefined }, "the token is not meant for this service"],
    ["is from another issuer", { iss: "https://issuer.test/" }, "the token's issuer is not trusted here"],
    ["is from no issuer", { iss: undefined }, "the token's issuer is not trusted here"],
    ["is not valid yet", { nbf: 4_000_000_000 }, "the token is not valid yet"],
    ["never expires", { exp: undefined }, 'the token\'s claim "exp" is missing'],
    ["has no subject", { sub: undefined }, 'the token\'s claim "sub" is missing'],
    ["has an empty subject", { sub: "" }, 'the token\'s claim "sub" is no text'],
  ])("that %s is refused with that reason", async (_what, claims, problem) => {
    const issuer = await startTokenIssuer();
    expect(await byUrl(issuer).refusal(await issuer.token(claims))).toContain(`UNAUTHENTICATED: ${problem}`);
  });

  test("may be used 30 s beyond its time, for clocks that differ", async () => {
    const issuer = await startTokenIssuer();
    const { bearer, refusal, clock } = byUrl(issuer);
    const token = await issuer.token({ nbf: seconds(clock.nowMs) + 20, exp: seconds(clock.nowMs) + 60 });
    await bearer(token);
    clock.nowMs += 85_000;
    await bearer(token);
    clock.nowMs += 10_000;
    expect(await refusal(token)).toBe("UNAUTHENTICATED: the token has expired");
  });

  test("with any other fault is refused without a word on which", async () => {
    const issuer = await startTokenIssuer();
    const { refusal } = byUrl(issuer);
    const good = await issuer.token();
    const [header = "", payload = "", signature = ""] = good.split(".");
    const [, expired = ""] = (await issuer.token({ exp: 1 })).split(".");
    const other = await startTokenIssuer();
    await other.rotate();
    for (const token of [
      await issuer.confusedToken(),
      await other.token(),
      `${header}.${expired}.${signature}`,
      `${header}.${payload}.${signature.slice(2)}AA`,
      `${encode({ alg: "none" })}.${payload}.`,
      `${encode({ alg: "none" })}.${payload}.${signature}`,
      `${encode({ alg: "ES256", kid: "key-1", crit: ["exp"] })}.${payload}.${signature}`,
      `${encode({ alg: "RS256", kid: "key-1" })}.${payload}.${signature}`,
      "a.b.c",
      "hunter2",
    ]) {
      expect(await refusal(token)).toBe("UNAUTHENTICATED: the token is not valid");
    }
  });

  test("is good only by an algorithm that is listed", async () => {
    const issuer = await startTokenIssuer();
    const { jwtIssuer, jwtAudience, jwksUrl } = issuer.settings;
    const jwt = { issuer: jwtIssuer, audience: jwtAudience, algorithms: ["RS256"] };
    const { refusal } = authenticatorWith({ jwksUrl, jwt });
    expect(await refusal(await issuer.token())).toBe("UNAUTHENTICATED: the token is not valid");
  });
});

describe("keys at a URL", () => {
  test("are fetched once for all tokens of a key, and again for a key that is new", async () => {
    const issuer = await startTokenIssuer();
    const { bearer } = byUrl(issuer);
    await Promise.all([bearer(await issuer.token()), bearer(await issuer.token({ sub: "grace" }))]);
    expect(issuer.fetches()).toBe(1);
    await issuer.rotate();
    // The library that fetches has no other clock.
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 31_000 });
    onTestFinished(() => void vi.useRealTimers());
    await bearer(await issuer.token());
    expect(issuer.fetches()).toBe(2);
  });

  test("that cannot be fetched refuse no token whose key is known, however long", async () => {
    const issuer = await startTokenIssuer();
    const { bearer, refusal, clock, lines } = byUrl(issuer);
    await bearer(await issuer.token());
    issuer.setDown(true);
    const laterClaims = () => ({ exp: seconds(clock.nowMs) + 600 });
    for (let hour = 1; hour <= 3; hour++) {
      clock.nowMs += 3_600_000;
      await bearer(await issuer.token(laterClaims()));
    }
    await expect.poll(() => lines.join("")).toContain("the keys of tokens cannot be fetched");
    expect(lines.filter((line) => line.includes("cannot be fetched"))).toHaveLength(1);
    expect(await refusal("a.b.c")).toBe("UNAUTHENTICATED: the token is not valid");
    issuer.setDown(false);
    // The first fetch may still be one that had begun before.
    const laterLines = async () => {
      clock.nowMs += 3_600_000;
      await bearer(await issuer.token(laterClaims()));
      return lines.join("");
    };
    await expect.poll(laterLines).toContain("the keys of tokens can be fetched again");
  });

  test("that cannot be fetched make tokens of unknown keys unavailable, with a time to try again", async () => {
    const issuer = await startTokenIssuer();
    const { bearer, clock } = byUrl(issuer);
    issuer.setDown(true);
    for (let round = 0; round < 3; round++) {
      await expect(bearer(await issuer.token())).rejects.toMatchObject({
        reason: "AUTHENTICATION_UNAVAILABLE",
        details: { retryAfterMs: 1_000 },
      });
    }
    // One that fails is not tried again for every token.
    expect(issuer.fetches()).toBe(1);
    issuer.setDown(false);
    clock.nowMs += 5_000;
    await bearer(await issuer.token());
  });
});

describe("a key file", () => {
  test("holds a public key as PEM or a key set, and counts anew when it changes", async () => {
    const issuer = await startTokenIssuer();
    const other = await startTokenIssuer();
    const { path, write } = await testFile("keys", await issuer.publicKey());
    const { bearer, refusal, clock } = authenticatorWith({ jwtKeyFile: path }, issuer);
    const token = await issuer.token();
    await bearer(token);
    write(other.keySet());
    clock.nowMs += 1_000;
    expect(await refusal(token)).toBe("UNAUTHENTICATED: the token is not valid");
    await bearer(await other.token());
    write("broken");
    clock.nowMs += 1_000;
    await bearer(await other.token());
  });

  test("with several keys that a token does not choose from is searched", async () => {
    const issuer = await startTokenIssuer();
    await issuer.rotate();
    const { path } = await testFile("keys.json", issuer.keySet());
    const { bearer, refusal } = authenticatorWith({ jwtKeyFile: path }, issuer);
    expect(await bearer(await issuer.token({}, false))).toMatchObject({ name: "ada" });
    expect(await refusal(await issuer.token({ exp: 1 }, false))).toBe("UNAUTHENTICATED: the token has expired");
    const other = await startTokenIssuer();
    expect(await refusal(await other.token({}, false))).toBe("UNAUTHENTICATED: the token is not valid");
  });

  test.each<[string, () => string]>([
    ["a private key", () => String(generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }))],
    [
      "a private key in a set",
      () => JSON.stringify({ keys: [{ kty: "OKP", crv: "Ed25519", x: "hunter2", d: "hunter2" }] }),
    ],
    ["a symmetric key", () => JSON.stringify({ keys: [{ kty: "oct", k: "hunter2" }] })],
    ["no key", () => '{"keys": []}'],
    ["broken PEM", () => "-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----"],
    ["anything else", () => "hunter2"],
  ])("with %s stops the start without being repeated", async (_what, content) => {
    const { path } = await testFile("keys", content());
    expect(() => authenticatorWith({ jwtKeyFile: path })).toThrow(path);
    expect(() => authenticatorWith({ jwtKeyFile: path })).not.toThrow("hunter2");
  });
});

describe("a static token", () => {
  const token = "static-token-0123456789";
  const sha256 = createHash("sha256").update(token).digest("hex");

  test.each([
    { name: "ci", token },
    { name: "ci", sha256 },
  ])("is known by itself or its digest", async (entry) => {
    const { path } = await testFile("tokens.json", { tokens: [entry] });
    const { bearer, refusal } = authenticatorWith({ tokensFile: path });
    expect(await bearer(token)).toEqual({ kind: "token", name: "ci" });
    expect(await refusal(`${token}0`)).toBe("UNAUTHENTICATED: the token is not valid");
    expect(await refusal(sha256)).toBe("UNAUTHENTICATED: the token is not valid");
  });

  test("is no longer good once it is taken out of the file, and stays while the file is broken", async () => {
    const { path, write } = await testFile("tokens.json", { tokens: [{ name: "ci", token }] });
    const { bearer, refusal, clock, lines } = authenticatorWith({ tokensFile: path });
    await bearer(token);
    write(`{"tokens": [{"name": "ci", "token": "${token}" broken`);
    clock.nowMs += 1_000;
    await bearer(token);
    write({ tokens: [{ name: "other", token: "another-token-0123456789" }] });
    clock.nowMs += 1_000;
    expect(await refusal(token)).toBe("UNAUTHENTICATED: the token is not valid");
    expect(lines.join("")).toContain("cannot be used");
    expect(lines.join("")).not.toContain(token);
  });

  test("counts for each connection by itself: what one has sent says nothing of what another sends", async () => {
    const [one, another] = ["static-token-of-one-0123", "static-token-of-another"];
    const entries = [
      { name: "one", token: one },
      { name: "another", token: another },
    ];
    const { path } = await testFile("tokens.json", { tokens: entries });
    const { authenticate, clock } = authenticatorWith({ tokensFile: path });
    const [first, second] = [{}, {}];
    const over = (connection: object, token: string) => authenticate(`Bearer ${token}`, connection, clock.nowMs);
    for (let round = 0; round < 3; round++) {
      expect(over(first, one)).toMatchObject({ name: "one" });
      expect(over(second, another)).toMatchObject({ name: "another" });
      expect(over(first, another)).toMatchObject({ name: "another" });
      expect(() => over(first, `${one}4`)).toThrow("the token is not valid");
      expect(() => authenticate(null, first, clock.nowMs)).toThrow("carries no credential");
    }
  });

  test.each<[string, unknown]>([
    ["no JSON", `{"tokens": "${token}`],
    ["an entry that is the token", { tokens: [token] }],
    ["tokens by name", { tokens: { ci: token } }],
    ["names by token", { tokens: { [token]: "ci" } }],
    ["a token as a key", { tokens: [{ name: "ci", [token]: true }] }],
    ["a token as a key at the top", { [token]: "ci" }],
    ["both forms", { tokens: [{ name: "ci", token, sha256 }] }],
    ["neither", { tokens: [{ name: "ci" }] }],
    ["a short token", { tokens: [{ name: "ci", token: "short" }] }],
    ["a token that no header can hold", { tokens: [{ name: "ci", token: `${token} ${token}` }] }],
    ["a digest that is none", { tokens: [{ name: "ci", sha256: token }] }],
    [
      "two of a name",
      {
        tokens: [
          { name: "ci", token },
          { name: "ci", token: `${token}2` },
        ],
      },
    ],
    ["none", { tokens: [] }],
  ])("of a file with %s stops the start without being repeated", async (_what, content) => {
    const { path } = await testFile("tokens.json", content);
    expect(() => authenticatorWith({ tokensFile: path })).toThrow(path);
    expect(() => authenticatorWith({ tokensFile: path })).not.toThrow(token);
  });
});

test.each(["Basic YWRhOmh1bnRlcjI=", "Bearer", "Bearer ", "hunter2", "Bearer a b", "Bearer a, Bearer b", ""])(
  "a header that holds no bearer token is refused without being repeated: %s",
  async (header) => {
    const { authenticate } = authenticatorWith({});
    expect(() => authenticate(header, {}, Date.now())).toThrow("the authorization header holds no bearer token");
  },
);
