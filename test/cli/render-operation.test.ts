import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { type OperationInfo, OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { operationTable } from "../../src/cli/operation-table.ts";
import { renderOperation } from "../../src/cli/render-operation.ts";
import { textColumns } from "../../src/cli/terminal-text.ts";

const nowMs = Date.UTC(2026, 0, 20, 12);
const at = (ms: number) => timestampFromMs(nowMs + ms);
const screen = { width: 80, color: false };
const { PENDING, RUNNING, COMPLETED, FAILED } = OperationStatus;

function operation(init: MessageInitShape<typeof OperationInfoSchema>): OperationInfo {
  return create(OperationInfoSchema, { operationType: "training", status: RUNNING, ...init });
}

const running = operation({
  operationName: "AAPL 1h",
  startedAt: at(-60_000),
  progress: {
    percentage: 45.29,
    currentStep: "epoch 5 of 10",
    phasePath: ["fit", "epoch 5 of 10"],
    itemsProcessed: 300n,
    estimatedRemaining: durationFromMs(80_000),
    progressChangedAt: at(-5_000),
  },
});

describe("a running operation", () => {
  test("shows its bar, percentage, status, time, time left and rate, and what it does", () => {
    expect(renderOperation(running, undefined, nowMs, screen)).toEqual([
      "█████████████▌░░░░░░░░░░░░░░░░  45.2 % RUNNING · 1 min 0 s · 1 min 15 s left · …",
      "  fit › epoch 5 of 10",
    ]);
    expect(renderOperation(running, undefined, nowMs, { width: 100, color: false })[0]).toMatch(/ · 5 items\/s$/);
  });

  test("counts the estimate down, and drops it when it is used up", () => {
    const later = (ms: number) => renderOperation(running, undefined, nowMs + ms, { width: 120, color: false })[0];
    expect(later(30_000)).toContain("45 s left");
    expect(later(90_000)).not.toContain("left");
  });

  test("never says 100 %, which only a completed one is", () => {
    const nearly = operation({ progress: { percentage: 99.996 } });
    expect(renderOperation(nearly, undefined, nowMs, screen)[0]).toContain("99.9 % RUNNING");
    const done = operation({ status: COMPLETED, progress: { percentage: 100 } });
    expect(renderOperation(done, undefined, nowMs, screen)[0]).toContain("100.0 % COMPLETED");
  });

  test("plots its newest metric with the newest number", () => {
    const lines = renderOperation(running, { name: "val loss", values: [3, 2, 1.23456789] }, nowMs, screen);
    expect(lines[2]).toBe("  val loss █▄▁ 1.23457");
  });

  test("says that it is stale, since when and why", () => {
    const stale = operation({ freshness: { stale: true, staleReason: "no answer", observedAt: at(-12_000) } });
    expect(renderOperation(stale, undefined, nowMs, screen)).toContain("  stale for 12 s: no answer");
  });

  test("says how far its cancellation has come", () => {
    const asked = operation({ cancellation: { reason: "enough" } });
    expect(renderOperation(asked, undefined, nowMs, screen)).toContain(
      "  cancellation requested, not delivered yet: enough",
    );
    const told = operation({ cancellation: { reason: "enough", deliveredAt: at(0) } });
    expect(renderOperation(told, undefined, nowMs, screen)).toContain(
      "  cancellation delivered, not acknowledged yet: enough",
    );
  });

  test("shows its newest warning and how many there are", () => {
    const warned = operation({ warnings: ["first", "second"] });
    expect(renderOperation(warned, undefined, nowMs, screen)).toContain("  warning (newest of 2): second");
  });
});

describe("another operation", () => {
  test("that has not begun shows no time", () => {
    const pending = operation({ status: PENDING, operationName: "waits" });
    expect(renderOperation(pending, undefined, nowMs, screen)).toEqual([
      "░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   0.0 % PENDING",
      "  waits",
    ]);
  });

  test("that failed shows how long it ran and why it failed", () => {
    const failed = operation({
      status: FAILED,
      startedAt: at(-60_000),
      completedAt: at(-50_000),
      error: { reason: "HOST_LOST", message: "nobody answers" },
    });
    const [first, ...rest] = renderOperation(failed, undefined, nowMs, screen);
    expect(first).toMatch(/FAILED · 10 s$/);
    expect(rest).toContain("  HOST_LOST: nobody answers");
  });
});

describe("every line", () => {
  const nasty = operation({
    operationName: "日本".repeat(60),
    progress: { percentage: 50, currentStep: `evil\u001b[2J\n${"x".repeat(200)}`, currentItem: "\u001b]0;title\u0007" },
    freshness: { stale: true, staleReason: "r".repeat(300) },
    error: { reason: "R", message: "m\n".repeat(200) },
    startedAt: at(-1_000),
  });

  test("fits the terminal, however narrow", () => {
    for (const width of [20, 40, 79, 200]) {
      const lines = renderOperation(nasty, { name: "loss", values: [1, 2, 3] }, nowMs, { width, color: false });
      for (const line of lines) expect(textColumns(line)).toBeLessThanOrEqual(width);
    }
  });

  test("has no control characters without colour, and none but colours with it", () => {
    const control = /\p{Cc}/u;
    for (const line of renderOperation(nasty, undefined, nowMs, screen)) expect(line).not.toMatch(control);
    const colored = renderOperation(nasty, undefined, nowMs, { width: 80, color: true });
    expect(colored.join("")).toContain("\u001b[36mRUNNING\u001b[0m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with a control character.
    for (const line of colored) expect(line.replaceAll(/\u001b\[\d+m/g, "")).not.toMatch(control);
  });
});

describe("a table of operations", () => {
  test("has a head, and columns that stand below it", () => {
    const rows = operationTable(
      [
        operation({
          operationId: "op_training_1",
          operationName: "one",
          createdAt: at(0),
          progress: { percentage: 5.9 },
        }),
        operation({ operationId: "op_2", status: COMPLETED, createdAt: at(1_000), progress: { percentage: 100 } }),
      ],
      screen,
    );
    expect(rows).toEqual([
      "CREATED (UTC)        STATUS      DONE  ID             NAME",
      "2026-01-20 12:00:00  RUNNING      5 %  op_training_1  one",
      "2026-01-20 12:00:01  COMPLETED  100 %  op_2",
    ]);
  });

  test("of none is nothing", () => {
    expect(operationTable([], screen)).toEqual([]);
  });
});
