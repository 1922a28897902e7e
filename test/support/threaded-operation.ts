import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { vi } from "vitest";
import { deadlineMs, operationWhen } from "./operation-when.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import type { OperationsClient } from "./test-client.ts";

/** Creates an operation of file-led-worker.ts with a directory of its own, and waits until its thread has begun. */
export async function threadedOperation(
  client: OperationsClient,
  parameters: { ignoresToken?: boolean } = {},
  operationType = "threaded",
) {
  const directory = await temporaryDirectory();
  const { operation } = await client.createOperation({
    operationType,
    metadata: { parameters: { directory, ...parameters } },
  });
  const operationId = operation?.operationId ?? "";
  await operationWhen(client, operationId, ({ progress }) => progress?.percentage === 10);
  return {
    operationId,
    write: (name: "finish" | "release") => writeFileSync(join(directory, name), ""),
    /** What the thread wrote when it saw its cancellation. */
    seenByThread: () =>
      vi.waitFor(() => JSON.parse(readFileSync(join(directory, "cancelled"), "utf8")), { timeout: deadlineMs }),
    hasSeen: () => existsSync(join(directory, "cancelled")),
  };
}
