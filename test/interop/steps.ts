import { expect } from "vitest";

/** What differs between clients. */
export interface ClientHabits {
  /** The code a client reports when its own deadline is over. Default 4, DEADLINE_EXCEEDED. */
  readonly deadlineCode?: number;
}

/** What a client saw, by step. */
export type SeenSteps = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Reads what a client has printed: one JSON object for each step. */
export function readSteps(output: string): SeenSteps {
  const lines = output.trim().split("\n");
  return Object.fromEntries(lines.map((line) => JSON.parse(line)).map(({ step, ...facts }) => [step, facts]));
}

/** Holds what a client of any language saw against what it must see. Every client does the same steps. */
export function expectSteps(seen: SeenSteps, { deadlineCode = 4 }: ClientHabits = {}): void {
  const created = (seen["list"]?.["created"] ?? []) as string[];
  expect(seen).toEqual({
    create: { status: "OPERATION_STATUS_PENDING", symbol: "MSFT", same: true },
    poll: { status: "OPERATION_STATUS_COMPLETED", percentage: 100, backwards: false, notModified: true },
    wait: { status: "OPERATION_STATUS_COMPLETED", records: 5 },
    metrics: {
      sequences: Array.from({ length: 30 }, (_, index) => index + 1),
      notANumber: 6,
      infinite: 1,
      cursor: 30,
      pages: 5,
    },
    cancel: { requested: true, status: "OPERATION_STATUS_CANCELLED", reason: "wrong data", acknowledged: true },
    "not-found": { code: 5, reason: "OPERATION_NOT_FOUND", domain: "longhaul", resource: "op_nobody" },
    "bad-request": { code: 3, reason: "INVALID_FIELD", domain: "longhaul", field: "total_steps" },
    deadline: { answeredBefore: true, code: deadlineCode },
    list: { sizes: [2, 2, 1], created: expect.anything(), listed: [...created].reverse() },
  });
  expect(new Set(created).size).toBe(5);
}
