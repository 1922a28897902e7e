import { context } from "@opentelemetry/api";
import { describe, expect, onTestFinished, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { HostConnection } from "../../src/hosts/host-connection.ts";
import { linkedIds, recordSpans } from "../support/recorded-spans.ts";
import { startScriptedHost } from "../support/scripted-host.ts";

const { RUNNING } = OperationStatus;
const batchName = "longhaul.v1.OperationsService/BatchGetOperations";

/** A connection to a host, and the traceparent of each batch that has arrived there. */
async function connect() {
  const arrived: (string | null)[] = [];
  const host = await startScriptedHost({
    batchGetOperations({ operations }, { requestHeader }) {
      arrived.push(requestHeader.get("traceparent"));
      return { operations: operations.map(({ operationId }) => ({ operationId, status: RUNNING })) };
    },
  });
  const connection = new HostConnection({
    url: host.url,
    callTimeoutMs: 5_000,
    serverId: "me",
    backoff: { firstMs: 100, maximumMs: 100 },
  });
  onTestFinished(() => connection.close());
  return { connection, arrived };
}

describe("a batch of what several calls ask for", () => {
  test("has a trace of its own with links to them, and that one goes on to the host", async () => {
    const spans = recordSpans();
    const { connection, arrived } = await connect();
    const calls = ["a", "b"].map((name) => ({ ...spans.call(name), name }));
    await Promise.all(calls.map((call) => context.with(call.context, () => connection.get(call.name, 0n, 1_000))));

    const [batch, ...others] = spans.ended(batchName);
    expect(others).toEqual([]);
    expect(batch?.parentSpanContext).toBeUndefined();
    expect(batch && linkedIds(batch)).toEqual(calls.map(({ span }) => span.spanContext().spanId));
    const { traceId, spanId } = batch?.spanContext() ?? {};
    expect(arrived).toEqual([`00-${traceId}-${spanId}-01`]);
  });

  test("stays in their trace when it is the same", async () => {
    const spans = recordSpans();
    const { connection } = await connect();
    const call = spans.call("both");
    await context.with(call.context, () =>
      Promise.all([connection.get("a", 0n, 1_000), connection.get("b", 0n, 1_000)]),
    );
    expect(spans.ended(batchName)[0]?.parentSpanContext?.spanId).toBe(call.span.spanContext().spanId);
  });
});
