import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "@bufbuild/protobuf";
import { createGrpcJsTransport, type OperationInfo, OperationStatus, PollingClient } from "longhaul";
import { followEpochs, showProgress } from "./demo-progress.ts";
import { type DemoServer, startDemoServer } from "./demo-server.ts";

// A host with the three orchestrators, a gateway in front of it, and everything a client does with them: on real
// processes and 20 years of daily bars of the S&P 500. Ends with exit code 1 when a step did not do what it says.

const epochs = 60;
const epochPauseMs = 60;
const table: { step: string; shown: string }[] = [];
const servers = new Set<DemoServer>();
const directory = await mkdtemp(join(tmpdir(), "longhaul-demo-"));

function say(text: string): void {
  process.stdout.write(`\n${text}\n`);
}

function done(step: string, shown: string): void {
  table.push({ step, shown });
  process.stdout.write(`  → ${shown}\n`);
}

function demand(condition: boolean, what: string): asserts condition {
  if (!condition) {
    throw new Error(`the demonstration failed: ${what}`);
  }
}

async function serve(flags: readonly string[], env?: Readonly<Record<string, string>>): Promise<DemoServer> {
  const server = await startDemoServer(flags, env);
  servers.add(server);
  return server;
}

async function create(client: PollingClient, operationType: string, name: string, parameters: JsonObject) {
  const database = join(directory, "trading.sqlite");
  const operation = await client.create({
    operationType,
    operationName: name,
    metadata: { symbol: "SPX", timeframe: "1d", parameters: { database, ...parameters } },
  });
  demand(operation !== undefined, `${operationType} was not created`);
  process.stdout.write(`  ${operation.operationId}\n`);
  return operation.operationId;
}

function completed(operation: OperationInfo): JsonObject {
  const why = operation.error?.message ?? `it has status ${operation.status}`;
  demand(operation.status === OperationStatus.COMPLETED, `${operation.operationId} did not complete: ${why}`);
  demand(operation.progress?.percentage === 100, `${operation.operationId} completed below 100 %`);
  return operation.resultSummary ?? {};
}

function percent(share: unknown): string {
  return `${(Number(share) * 100).toFixed(1)} %`;
}

async function load(client: PollingClient): Promise<void> {
  say("1. Load 5,105 daily bars into SQLite");
  const id = await create(client, "data_load", "load bars", { segments: 50, delay_ms: 25 });
  const summary = completed(await showProgress(client, id));
  demand(summary["bars"] === 5_105, `${summary["bars"]} bars were loaded`);
  done("load", `${summary["bars"]} bars, ${summary["first_date"]} to ${summary["last_date"]}`);
}

async function train(client: PollingClient): Promise<void> {
  say("2. Train in a worker thread of the host, and read the epochs by cursor as they appear");
  const id = await create(client, "training", "next day's direction", { epochs, delay_ms: epochPauseMs, seed: 7 });
  const [operation, read] = await Promise.all([showProgress(client, id), followEpochs(client, id)]);
  const summary = completed(operation);
  demand(read.epochs === epochs, `${read.epochs} of ${epochs} epochs were read`);
  demand(read.pages > 1, "all epochs came at once, at the end");
  done("train", `${read.epochs} epochs read in ${read.pages} pages, none twice; best epoch ${summary["best_epoch"]}`);
}

async function backtest(client: PollingClient): Promise<void> {
  say("3. Backtest a moving-average crossover");
  const id = await create(client, "backtesting", "crossover 50/200", { fast: 50, slow: 200 });
  const summary = completed(await showProgress(client, id));
  const figures = [
    `${summary["trades"]} trades`,
    `return ${percent(summary["total_return"])}`,
    `drawdown ${percent(summary["max_drawdown"])}`,
    `Sharpe ${Number(summary["sharpe_ratio"]).toFixed(2)}`,
  ];
  demand(summary["bars"] === 5_105, `${summary["bars"]} bars were passed`);
  done("backtest", `${summary["bars"]} bars, ${figures.join(", ")}`);
}

async function cancel(client: PollingClient): Promise<void> {
  say("4. Cancel a second training half-way");
  const id = await create(client, "training", "to be cancelled", { epochs, delay_ms: epochPauseMs });
  const half = await showProgress(client, id, ({ progress }) => (progress?.percentage ?? 0) >= 50);
  await client.cancel(id, "half of it is enough");
  const operation = await client.waitUntilDone(id);
  demand(operation?.status === OperationStatus.CANCELLED, `it has status ${operation?.status}`);
  const hops = operation.cancellation;
  demand(hops?.deliveredAt !== undefined && hops.acknowledgedAt !== undefined, "the work did not acknowledge");
  demand(Number(operation.metricsCursor) < epochs, "it ran to its end");
  const at = (half.progress?.percentage ?? 0).toFixed(0);
  done(
    "cancel",
    `cancelled at ${at} %, delivered and acknowledged after ${operation.metricsCursor} of ${epochs} epochs`,
  );
}

async function crash(client: PollingClient, gateway: DemoServer, restart: () => Promise<DemoServer>): Promise<void> {
  say("5. Kill the gateway with SIGKILL during a third training, and start it again");
  const id = await create(client, "training", "survives its gateway", { epochs, delay_ms: epochPauseMs, seed: 3 });
  const before = await showProgress(client, id, ({ progress }) => (progress?.percentage ?? 0) >= 30);
  await gateway.end("SIGKILL");
  process.stdout.write(`  gateway ${gateway.pid} killed\n`);
  const again = await restart();
  process.stdout.write(`  gateway ${again.pid} started on the same data\n`);
  const operation = await showProgress(client, id);
  completed(operation);
  demand(operation.attempt === 1, "the work was run a second time");
  const read = await followEpochs(client, id);
  demand(read.epochs === epochs, `${read.epochs} of ${epochs} epochs were found after the restart`);
  const at = (before.progress?.percentage ?? 0).toFixed(0);
  done("gateway crash", `killed at ${at} %, found again, completed in attempt 1 with all ${read.epochs} epochs`);
}

async function main(): Promise<void> {
  const services = join(import.meta.dirname, "services.ts");
  const host = await serve(["--port", "0", "--data-dir", join(directory, "host"), "--services", services]);
  const routes = Object.fromEntries(
    ["DATA_LOAD", "TRAINING", "BACKTESTING"].flatMap((type) => [
      [`USE_${type}_HOST_SERVICE`, "true"],
      [`${type}_HOST_SERVICE_URL`, host.url],
    ]),
  );
  const startGateway = (port: number) =>
    serve(["--port", String(port), "--data-dir", join(directory, "gateway")], routes);
  const gateway = await startGateway(0);
  say(`Host ${host.url} runs the work; gateway ${gateway.url} is all the client knows`);
  const transport = createGrpcJsTransport({ baseUrl: gateway.url });
  const client = new PollingClient(transport);
  try {
    await load(client);
    await train(client);
    await backtest(client);
    await cancel(client);
    await crash(client, gateway, () => startGateway(gateway.port));
  } finally {
    transport.close();
  }
}

const startedMs = performance.now();
try {
  await main();
  say(table.map(({ step, shown }) => `  ${step.padEnd(14)} ${shown}`).join("\n"));
  say(`All five steps did what they say, in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
} finally {
  await Promise.all([...servers].map((server) => server.end("SIGTERM")));
  await rm(directory, { recursive: true, force: true });
}
