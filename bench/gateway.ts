import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createGrpcJsTransport,
  type OperationContext,
  type OperationDefinition,
  PollingClient,
  resolveConfig,
  type Server,
  ServiceOrchestrator,
  startServer,
} from "longhaul";
import { fastest } from "./fastest.ts";

const callsPerRound = 400;
const cachedGetsPerRound = 100_000;

/** Runs until it is cancelled. */
class WaitingService extends ServiceOrchestrator {
  override readonly operations = {
    training: {
      operationFunc: async (_operationId: string, { token, updateProgress }: OperationContext) => {
        updateProgress({ percentage: 10, currentStep: "waiting" });
        await token.waitForCancellation();
        token.throwIfCancelled();
        return undefined;
      },
    },
  } satisfies Record<string, OperationDefinition>;
}

/** What Gets cost. */
export interface GatewayTimings {
  /** Calls of OperationsService.getOperation per second, in the process, answered from the cache. */
  readonly cachedGetsPerSecond: number;
  /** One gRPC GetOperation at the gateway after another, answered from its cache, in microseconds. */
  readonly hitMicroseconds: number;
  /** The same with max_staleness 0, so that the gateway asks the host each time, in microseconds. */
  readonly missMicroseconds: number;
}

/** Measures Gets of one running operation on a host behind a gateway; client and servers share this process. */
export async function benchGateway(): Promise<GatewayTimings> {
  const directory = await mkdtemp(join(tmpdir(), "longhaul-bench-"));
  const env = { LONGHAUL_LOG_LEVEL: "silent", LONGHAUL_PORT: "0", LONGHAUL_CACHE_TTL_MS: "60000" };
  const config = (name: string, more = {}) =>
    resolveConfig({ env: { ...env, LONGHAUL_DATA_DIR: join(directory, name), ...more } });
  const host = await startServer(config("host"), { orchestrators: [new WaitingService()] });
  const route = { USE_TRAINING_HOST_SERVICE: "true", TRAINING_HOST_SERVICE_URL: host.url };
  const gateway = await startServer(config("gateway", route));
  const transport = createGrpcJsTransport({ baseUrl: gateway.url });
  try {
    return await measure(gateway, new PollingClient(transport));
  } finally {
    transport.close();
    await gateway.stop();
    await host.stop();
    await rm(directory, { recursive: true });
  }
}

async function measure(gateway: Server, client: PollingClient): Promise<GatewayTimings> {
  const operation = await client.create({ operationType: "training" });
  const operationId = operation?.operationId ?? "";
  const [cached = 0] = await fastest(cachedGetsPerRound, [() => gateway.operations.getOperation(operationId)]);
  const maxStaleness = { seconds: 0n, nanos: 0 };
  const [hit = 0, miss = 0] = await fastest(callsPerRound, [
    () => client.rpc.getOperation({ operationId }),
    () => client.rpc.getOperation({ operationId, maxStaleness }),
  ]);
  return { cachedGetsPerSecond: 1e6 / cached, hitMicroseconds: hit, missMicroseconds: miss };
}
