import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { type GetOperationResponse, GetOperationResponseSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";

/** What a job queue tells of a job. */
export interface JobState {
  readonly id: string;
  readonly state: string;
  /** As `jobData`. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly createdAtMs: number;
  readonly startedAtMs: number | undefined;
  readonly attempt: number;
}

/** What a job is made with: the same as the operation of the server under test. */
export const jobData = {
  operationName: "Train on AAPL",
  labels: { team: "research" },
  metadata: { symbol: "AAPL", timeframe: "1h", parameters: { epochs: 100, learning_rate: 0.001 } },
};

/** What a job reports of its progress: the same as the operation of the server under test. */
export const jobProgress = {
  percentage: 10,
  currentStep: "Training epoch 12/100",
  stepsCompleted: 12,
  stepsTotal: 1_000_000,
  itemsProcessed: 48_000,
  itemsTotal: 400_000,
  context: { epoch: 12, loss: 0.0625, phase: "train" },
};

const statuses: Readonly<Record<string, OperationStatus>> = {
  waiting: OperationStatus.PENDING,
  delayed: OperationStatus.PENDING,
  created: OperationStatus.PENDING,
  retry: OperationStatus.PENDING,
  active: OperationStatus.RUNNING,
  completed: OperationStatus.COMPLETED,
  failed: OperationStatus.FAILED,
  cancelled: OperationStatus.CANCELLED,
};

/** The job as a poll is answered. NOT_FOUND when there is none. */
export function jobAnswer(job: JobState | undefined, progress: typeof jobProgress): GetOperationResponse {
  if (job === undefined) {
    throw new ConnectError("no such job", Code.NotFound);
  }
  const { operationName, labels, metadata } = job.data as typeof jobData;
  const { context, percentage, currentStep, ...counts } = progress;
  const [stepsCompleted, stepsTotal, itemsProcessed, itemsTotal] = [
    counts.stepsCompleted,
    counts.stepsTotal,
    counts.itemsProcessed,
    counts.itemsTotal,
  ].map(BigInt) as [bigint, bigint, bigint, bigint];
  return create(GetOperationResponseSchema, {
    operation: {
      operationId: job.id,
      operationType: "training",
      operationName,
      status: statuses[job.state] ?? OperationStatus.UNSPECIFIED,
      labels,
      metadata: { ...metadata, parameters: metadata.parameters as JsonObject },
      createdAt: timestampFromMs(job.createdAtMs),
      ...(job.startedAtMs !== undefined && { startedAt: timestampFromMs(job.startedAtMs) }),
      progress: { percentage, currentStep, stepsCompleted, stepsTotal, itemsProcessed, itemsTotal, context },
      attempt: job.attempt,
    },
    pollAfter: { seconds: 1n },
    freshness: { observedAt: timestampFromMs(Date.now()) },
  });
}
