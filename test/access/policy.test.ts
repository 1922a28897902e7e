import { describe, expect, test } from "vitest";
import { policyFrom } from "../../src/access/policy.ts";
import type { Principal } from "../../src/access/principal.ts";

const jwt = (claims: Record<string, unknown>): Principal => ({ kind: "jwt", name: String(claims["sub"]), claims });
const spiffe = (name: string): Principal => ({ kind: "spiffe", name });
const token = (name: string): Principal => ({ kind: "token", name });

/** The roles that one binding gives. */
function rolesBy(binding: object, principal: Principal): string[] {
  const policy = policyFrom(JSON.stringify({ bindings: [{ role: "viewer", ...binding }] }));
  return policy.grantsOf(principal).map(({ role }) => role);
}

describe("a binding is for", () => {
  test.each<[string, object, Principal]>([
    ["a subject", { subjects: ["ada"] }, jwt({ sub: "ada" })],
    ["a claim that is the value", { claim: { path: "team", values: ["ml"] } }, jwt({ team: "ml" })],
    ["a claim that has it in its list", { claim: { path: "groups", values: ["ml"] } }, jwt({ groups: ["x", "ml"] })],
    [
      "a claim whose name has dots",
      { claim: { path: "https://a.b/c", values: ["ml"] } },
      jwt({ "https://a.b/c": "ml" }),
    ],
    ["a nested claim", { claim: { path: ["realm", "roles"], values: ["ml"] } }, jwt({ realm: { roles: ["ml"] } })],
    ["a scope", { claim: { path: "scope", values: ["jobs:read"] } }, jwt({ scope: "openid jobs:read" })],
    ["a token", { tokens: ["ci"] }, token("ci")],
    ["a SPIFFE id", { spiffeIds: ["spiffe://a.test/x"] }, spiffe("spiffe://a.test/x")],
    ["what is below a SPIFFE id", { spiffeIds: ["spiffe://a.test/x/*"] }, spiffe("spiffe://a.test/x/y/z")],
    ["a whole trust domain", { spiffeIds: ["spiffe://a.test/*"] }, spiffe("spiffe://a.test/x")],
    ["any of what it names", { subjects: ["ada"], tokens: ["ci"] }, token("ci")],
  ])("%s", (_what, binding, principal) => {
    expect(rolesBy(binding, principal)).toEqual(["viewer"]);
  });

  test.each<[string, object, Principal]>([
    ["another subject", { subjects: ["ada"] }, jwt({ sub: "grace" })],
    ["a token of the subject's name", { subjects: ["ada"] }, token("ada")],
    ["a subject of the token's name", { tokens: ["ci"] }, jwt({ sub: "ci" })],
    ["a subject that is a SPIFFE id", { spiffeIds: ["spiffe://a.test/x"] }, jwt({ sub: "spiffe://a.test/x" })],
    ["a part of a claim", { claim: { path: "team", values: ["ml"] } }, jwt({ team: "ml ops" })],
    ["a claim that is an object", { claim: { path: "team", values: ["ml"] } }, jwt({ team: { ml: true } })],
    ["an inherited member", { claim: { path: ["constructor", "name"], values: ["Object"] } }, jwt({})],
    ["the start of a SPIFFE id's segment", { spiffeIds: ["spiffe://a.test/x/*"] }, spiffe("spiffe://a.test/xy/z")],
    ["the SPIFFE id above", { spiffeIds: ["spiffe://a.test/x/*"] }, spiffe("spiffe://a.test/x")],
    ["another trust domain", { spiffeIds: ["spiffe://a.test/*"] }, spiffe("spiffe://a.test.evil.test/x")],
  ])("nobody with %s", (_what, binding, principal) => {
    expect(rolesBy(binding, principal)).toEqual([]);
  });
});

test("all bindings for a caller count, with what they are limited to", () => {
  const policy = policyFrom(
    JSON.stringify({
      bindings: [
        { role: "viewer", subjects: ["ada"] },
        { role: "operator", subjects: ["ada"], operationTypes: ["training"], labels: { team: "ml" } },
        { role: "admin", subjects: ["grace"] },
      ],
    }),
  );
  expect(policy.grantsOf(jwt({ sub: "ada" }))).toEqual([
    { role: "viewer" },
    { role: "operator", operationTypes: new Set(["training"]), labels: [["team", "ml"]] },
  ]);
});

test.each<[string, unknown, string]>([
  ["no JSON", '{"bindings": [hunter2]}', "it is not JSON"],
  ["no object", "[]", "expected object"],
  ["an unknown key", { bindings: [], extra: 1 }, '"extra"'],
  ["no bindings", { bindings: [] }, "bindings: has no binding"],
  ["an unknown key of a binding", { bindings: [{ role: "viewer", subjects: ["a"], type: "x" }] }, "bindings[0]: Unrec"],
  ["an unknown role", { bindings: [{ role: "owner", subjects: ["a"] }] }, "bindings[0].role"],
  ["nobody bound", { bindings: [{ role: "viewer" }] }, "bindings[0]: is for nobody"],
  ["an empty list", { bindings: [{ role: "viewer", subjects: [] }] }, "bindings[0].subjects: has no entry"],
  [
    "an unknown key of a claim",
    { bindings: [{ role: "viewer", claim: { path: "a", value: "b" } }] },
    "bindings[0].claim",
  ],
  ["a wrong SPIFFE id", { bindings: [{ role: "viewer", spiffeIds: ["spiffe://*"] }] }, "bindings[0].spiffeIds[0]"],
  ["a star within", { bindings: [{ role: "viewer", spiffeIds: ["spiffe://a.test/*/b"] }] }, "bindings[0].spiffeIds[0]"],
  ["no type", { bindings: [{ role: "viewer", subjects: ["a"], operationTypes: ["A b"] }] }, "operationTypes[0]"],
  ["no labels", { bindings: [{ role: "viewer", subjects: ["a"], labels: {} }] }, "bindings[0].labels: has no entry"],
  ["a label that is no text", { bindings: [{ role: "viewer", subjects: ["a"], labels: { a: 1 } }] }, "labels.a"],
])("a policy with %s is refused with its place", (_what, content, problem) => {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  expect(() => policyFrom(text)).toThrow(problem);
  expect(() => policyFrom(text)).not.toThrow("hunter2");
});
