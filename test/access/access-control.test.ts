import { expect, test } from "vitest";
import { createAccessControl } from "../../src/access/access-control.ts";
import { roleTokens, testFile } from "../support/access-files.ts";
import { logLines } from "../support/log-lines.ts";

const training = { operationType: "training", labels: {} };

test("a policy that is replaced counts with the next call, and a broken one does not", async () => {
  const clock = { nowMs: 0 };
  const { log, lines } = logLines();
  const tokens = await testFile("tokens.json", { tokens: [{ name: "ci", token: roleTokens.admin }] });
  const policy = await testFile("policy.json", { bindings: [{ role: "admin", tokens: ["ci"] }] });
  const control = createAccessControl({
    jwksUrl: "",
    jwtKeyFile: "",
    jwt: { issuer: "", audience: "", algorithms: [] },
    tokensFile: tokens.path,
    accessPolicyFile: policy.path,
    log,
    now: () => clock.nowMs,
  });
  const connection = {};
  const identify = () => control.identify(`Bearer ${roleTokens.admin}`, connection);
  const before = await identify();
  expect(before).toMatchObject({ name: "token:ci", roles: "admin" });
  // Nothing is worked out twice while nothing has changed.
  expect(await identify()).toBe(before);

  policy.write({ bindings: [{ role: "operator", tokens: ["ci"], operationTypes: ["training"] }] });
  clock.nowMs += 1_000;
  const after = await identify();
  expect(after.has("admin")).toBe(false);
  expect(after.admits("operator", training)).toBe(true);
  expect(after.admits("viewer", { ...training, operationType: "backtesting" })).toBe(false);

  policy.write({ bindings: [{ role: "admin", tokens: ["ci"], operationtypes: ["training"] }] });
  clock.nowMs += 1_000;
  expect(await identify()).toBe(after);
  expect(lines.join("")).toContain("bindings[0]");
});
