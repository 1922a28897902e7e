import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { OperationInfoSchema } from "../../gen/longhaul/v1/operation_pb.ts";
import type {
  CancelDelivery,
  CancelRequest,
  OperationSource,
  PullRequest,
  PullResult,
} from "../../src/operations/operation-source.ts";
import type { MetricRecord } from "../../src/progress/metric-record.ts";

/** A source that answers what a test tells it to and notes what it is asked. */
export class ScriptedSource implements OperationSource {
  readonly host: string;
  /** What it was asked so far. */
  readonly pulls: PullRequest[] = [];
  readonly cancels: CancelRequest[] = [];
  closed = 0;
  /** Answers a pull. */
  answer: (request: PullRequest) => Promise<PullResult> | PullResult = () => observed({});
  /** Answers a cancellation. */
  delivery: CancelDelivery = { outcome: "delivered" };

  constructor(host = "http://host.test:1") {
    this.host = host;
  }

  async pull(request: PullRequest): Promise<PullResult> {
    this.pulls.push(request);
    return this.answer(request);
  }

  async cancel(request: CancelRequest): Promise<CancelDelivery> {
    this.cancels.push(request);
    return this.delivery;
  }

  close(): void {
    this.closed += 1;
  }
}

/** The answer of a source that could be asked. */
export function observed(
  info: MessageInitShape<typeof OperationInfoSchema>,
  records: readonly MetricRecord[] = [],
  hasMore = false,
): PullResult {
  return { outcome: "observed", info: create(OperationInfoSchema, { attempt: 1, ...info }), records, hasMore };
}
