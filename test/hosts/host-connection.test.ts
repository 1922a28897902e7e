import { Code, ConnectError } from "@connectrpc/connect";
import { expect, onTestFinished, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { HostConnection } from "../../src/hosts/host-connection.ts";
import { startScriptedHost } from "../support/scripted-host.ts";

test("Gets whose turn does not come in a call's time are given up, and the host is not asked for them", async () => {
  const host = await startScriptedHost({
    getOperation: ({ operationId }) =>
      operationId === "op_0"
        ? new Promise<never>(() => {})
        : { operation: { operationId, status: OperationStatus.RUNNING } },
    batchGetOperations: () => {
      throw new ConnectError("no batches here", Code.Unimplemented);
    },
  });
  const connection = new HostConnection({
    url: host.url,
    callTimeoutMs: 200,
    serverId: "me",
    backoff: { firstMs: 100, maximumMs: 100 },
  });
  onTestFinished(() => connection.close());
  const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => connection.get(`op_${n}`, 0n, 1_000)));
  expect(answers.map(({ outcome }) => outcome)).toEqual([
    "unreachable",
    ...Array.from({ length: 31 }, () => "answered"),
    ...Array.from({ length: 8 }, () => "unreachable"),
  ]);
  expect(answers.at(-1)).toMatchObject({ reason: `host ${host.url}: no answer within 200 ms` });
  expect(host.calls("GetOperation")).toBe(32);
});
