// What users of the package import; nothing is defined here.

export type { OperationMetrics } from "../gen/longhaul/v1/metrics_pb.ts";
export { TradeSide } from "../gen/longhaul/v1/metrics_pb.ts";
export type { OperationInfo, OperationMetadata, OperationProgress } from "../gen/longhaul/v1/operation_pb.ts";
export { OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
export { OperationsService as OperationsServiceDesc } from "../gen/longhaul/v1/operations_service_pb.ts";
export { CancellationCoordinator } from "./cancellation/cancellation-coordinator.ts";
export { CancellationController, CancellationError, CancellationToken } from "./cancellation/cancellation-token.ts";
export { cancelAllOperations, resetGlobalCancellation } from "./cancellation/global-cancellation.ts";
export { installInterruptHandler } from "./cancellation/interrupt.ts";
export { type ClientCredentials, type CredentialFiles, createClientCredentials } from "./client/client-credentials.ts";
export { createGrpcJsTransport, type GrpcTransport, type GrpcTransportOptions } from "./client/grpc-transport.ts";
export { isDone, type MetricsPage, PollingClient, type PollingOptions } from "./client/polling-client.ts";
export { type Config, ConfigError, type ConfigSources, resolveConfig } from "./config.ts";
export type { CallErrorReason } from "./operations/call-reasons.ts";
export { callerRuns } from "./operations/caller-runs.ts";
export { CallError } from "./operations/errors.ts";
export { OperationsService } from "./operations/operations-service.ts";
export type {
  OperationContext,
  OperationDefinition,
  OperationFunc,
  OperationWork,
} from "./orchestrator/operation-context.ts";
export { type ManagedOperation, ServiceOrchestrator } from "./orchestrator/service-orchestrator.ts";
export type { MetricKind, MetricValues } from "./progress/metric-record.ts";
export { ProgressBridge } from "./progress/progress-bridge.ts";
export { ProgressManager } from "./progress/progress-manager.ts";
export type { ProgressUpdate, ProgressWriter } from "./progress/progress-update.ts";
export { type Server, type ServerParts, startServer } from "./server.ts";
export { createServerLog } from "./telemetry/server-log.ts";
