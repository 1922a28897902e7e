import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { testFile } from "../support/access-files.ts";
import { connectTestClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { startTokenIssuer } from "../support/token-issuer.ts";

test("while keys cannot be fetched, unknown ones are UNAVAILABLE with a time to retry, and known ones are good", async () => {
  const clock = { aheadMs: 0 };
  const issuer = await startTokenIssuer();
  const { path: accessPolicyFile } = await testFile("policy.json", {
    bindings: [{ role: "viewer", subjects: ["ada"] }],
  });
  const { url } = await startTestServer({
    settings: { ...issuer.settings, accessPolicyFile },
    now: () => Date.now() + clock.aheadMs,
  });
  const list = async () => connectTestClient(url, { token: await issuer.token() }).listOperations({});

  issuer.setDown(true);
  const refusal = ConnectError.from(await list().catch((error: unknown) => error));
  expect(refusal.code).toBe(Code.Unavailable);
  expect(refusal.findDetails(ErrorInfoSchema)[0]?.reason).toBe("AUTHENTICATION_UNAVAILABLE");
  expect(refusal.findDetails(RetryInfoSchema)[0]?.retryDelay).toMatchObject({ seconds: 1n });

  issuer.setDown(false);
  clock.aheadMs += 10_000;
  await list();
  issuer.setDown(true);
  await list();
});
