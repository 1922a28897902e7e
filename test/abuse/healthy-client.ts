import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { createClient } from "@connectrpc/connect";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";

/**
 * A client that polls, in a thread of its own so that its times are not those of whoever abuses the server. It ends with
 * the first message and answers its times in milliseconds and what failed.
 */
const { url, operationId, ca } = workerData as { url: string; operationId: string; ca: string | undefined };
const pauseMs = 10;

const transport = createGrpcJsTransport({
  baseUrl: url,
  ...(ca !== undefined && { rootCertificates: Buffer.from(ca) }),
});
const client = createClient(OperationsService, transport);
const timesMs: number[] = [];
const failed: string[] = [];
let isOver = false;
parentPort?.once("message", () => {
  isOver = true;
});
await client.getOperation({ operationId });
parentPort?.postMessage("ready");
while (!isOver) {
  const beganMs = performance.now();
  try {
    await client.getOperation({ operationId });
    timesMs.push(performance.now() - beganMs);
  } catch (error) {
    failed.push(String(error));
  }
  await sleep(pauseMs);
}
transport.close();
parentPort?.postMessage({ timesMs, failed });
parentPort?.close();
