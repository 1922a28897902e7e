import { context } from "@opentelemetry/api";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { linkedIds, recordSpans } from "../support/recorded-spans.ts";
import { observed, ScriptedSource } from "../support/scripted-source.ts";
import { startTestRegistry } from "../support/test-registry.ts";

const { RUNNING } = OperationStatus;

async function startRunning(source: ScriptedSource, cacheTtlMs = 1_000) {
  const { operations } = await startTestRegistry({ options: { cacheTtlMs } });
  const { operationId } = await operations.createOperation({ operationType: "training" });
  await operations.startOperation(operationId, () => source);
  return { operations, operationId };
}

describe("a pull in traces", () => {
  test("belongs to the call that began it, and is linked with those that join it", async () => {
    const spans = recordSpans();
    const source = new ScriptedSource();
    const { promise, resolve } = Promise.withResolvers<void>();
    source.answer = async () => {
      await promise;
      return observed({ status: RUNNING });
    };
    const { operations, operationId } = await startRunning(source);
    const [first, joining] = [spans.call("first"), spans.call("joining")];
    const gets = [first, joining].map((call) =>
      context.with(call.context, () => operations.getOperation(operationId)).finally(() => call.span.end()),
    );
    await expect.poll(() => source.pulls.length).toBe(1);
    resolve();
    await Promise.all(gets);

    const [pull, ...others] = spans.ended("longhaul pull");
    expect(others).toEqual([]);
    expect(pull?.parentSpanContext?.spanId).toBe(first.span.spanContext().spanId);
    expect(pull && linkedIds(pull)).toEqual([joining.span.spanContext().spanId]);
    expect(spans.ended("joining").flatMap(linkedIds)).toEqual([pull?.spanContext().spanId]);
    expect(spans.ended("first").flatMap(linkedIds)).toEqual([]);
    expect(pull?.attributes).toMatchObject({ "longhaul.operation_id": operationId, "longhaul.outcome": "observed" });
  });

  test("for several who wait has a trace of its own with links to all, for one alone it belongs to that one's", async () => {
    const spans = recordSpans();
    const source = new ScriptedSource();
    source.answer = () => observed({ status: RUNNING });
    const { operations, operationId } = await startRunning(source, 100);
    const { revision: knownRevision } = await operations.getOperation(operationId);
    const leave = new AbortController();
    const wait = (call: ReturnType<typeof spans.call>) =>
      context.with(call.context, () =>
        operations.waitOperation(operationId, {
          knownRevision,
          untilDone: true,
          timeoutMs: 20_000,
          signal: leave.signal,
        }),
      );
    const [one, other] = [spans.call("one"), spans.call("other")];
    const ids = [one, other].map(({ span }) => span.spanContext().spanId);
    const pulls = () => spans.ended("longhaul pull");

    const waits = [wait(one)];
    const isOnes = () => pulls().some(({ parentSpanContext }) => parentSpanContext?.spanId === ids[0]);
    await expect.poll(isOnes).toBe(true);
    waits.push(wait(other));
    const shared = () => pulls().find((pull) => !pull.parentSpanContext && linkedIds(pull).length === 2);
    await expect.poll(shared).toBeDefined();
    leave.abort();
    await Promise.all(waits);
    expect(linkedIds(shared() as NonNullable<ReturnType<typeof shared>>).sort()).toEqual(ids.sort());
  });
});
