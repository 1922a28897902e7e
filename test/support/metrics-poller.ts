import { expect } from "vitest";
import type { OperationMetrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import type { GetMetricsResponse } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationsClient } from "./test-client.ts";

/** The sequences of a page's records, in the order the protocol has them. */
export function sequences(metrics: OperationMetrics | undefined): number[] {
  const family = metrics?.metrics;
  switch (family?.case) {
    case "training":
      return family.value.epochs.map(({ sequence }) => Number(sequence));
    case "dataLoad":
      return family.value.segments.map(({ sequence }) => Number(sequence));
    case "backtesting":
      return [...family.value.bars, ...family.value.trades]
        .map(({ sequence }) => Number(sequence))
        .sort((a, b) => a - b);
    case "custom":
      return family.value.records.map(({ sequence }) => Number(sequence));
    default:
      return [];
  }
}

/** The numbers from `from` on, `count` of them. */
export const upTo = (count: number, from = 1) => Array.from({ length: count }, (_, index) => from + index);

/** A poller that keeps what it got and checks each page against the rules of cursors. */
export class Poller {
  readonly operationId: string;
  readonly seen: number[] = [];
  cursor = 0n;

  constructor(operationId: string) {
    this.operationId = operationId;
  }

  async poll(client: OperationsClient, maxRecords = 0): Promise<GetMetricsResponse> {
    const page = await client.getMetrics({ operationId: this.operationId, cursor: this.cursor, maxRecords });
    const before = this.cursor;
    const records = sequences(page.metrics);
    this.cursor = page.newCursor;
    this.seen.push(...records);
    expect(page.newCursor).toBeGreaterThanOrEqual(before);
    expect(records).toEqual(upTo(Number(page.newCursor - before), Number(before) + 1));
    return page;
  }

  async pollToEnd(client: OperationsClient): Promise<void> {
    while ((await this.poll(client)).hasMore) {}
  }
}
