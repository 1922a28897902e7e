import { create, type JsonObject } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { OperationMetadataSchema } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CreateOperationRequest } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { CancellationToken } from "../cancellation/cancellation-token.ts";
import { ProgressManager } from "../progress/progress-manager.ts";
import type { ProgressWriter } from "../progress/progress-update.ts";
import { type ProgressRenderer, renderBacktesting, renderDataLoad, renderTraining } from "../progress/renderers.ts";
import type { OperationContext } from "./operation-context.ts";

/** What a context is made of. */
export interface ContextParts {
  /** The request that made the operation, with its operation_id. */
  readonly request: CreateOperationRequest;
  readonly attempt: number;
  readonly totalSteps: number;
  readonly token: CancellationToken;
  readonly writer: ProgressWriter;
  readonly setResult: (result: Any) => void;
}

const renderers: Readonly<Record<string, ProgressRenderer>> = {
  training: renderTraining,
  data_load: renderDataLoad,
  backtesting: renderBacktesting,
};

/** Makes what a running operation is given. */
export function createContext({
  request,
  attempt,
  totalSteps,
  token,
  writer,
  setResult,
}: ContextParts): OperationContext {
  const metadata = request.metadata ?? create(OperationMetadataSchema);
  const renderer = renderers[request.operationType];
  const progress = new ProgressManager((state) => writer.update(state), {
    phases: request.phases,
    ...(renderer && { renderer }),
  });
  progress.startOperation(request.operationName || request.operationType, { totalSteps });
  const parameters: JsonObject = metadata.parameters ?? {};
  return {
    operationId: request.operationId,
    operationType: request.operationType,
    operationName: request.operationName,
    attempt,
    metadata,
    parameters,
    totalSteps,
    token,
    progress,
    updateProgress: (update) => writer.update(update),
    record: (kind, value) => {
      writer.record(kind, value);
    },
    warn: (message) => writer.warn(message),
    setResult,
  };
}
