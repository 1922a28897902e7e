import { parentPort, workerData } from "node:worker_threads";
import type { SharedBridgeMemory } from "../../src/progress/shared-memory-layout.ts";
import { SharedProgressWriter } from "../../src/progress/shared-progress-writer.ts";

/** What the thread does with the bridge; the answer it posts at its end is a string. */
export interface WorkerOrder {
  readonly memory: SharedBridgeMemory;
  /** "write" writes records and progress that agree with each other; the others wait for the bridge. */
  readonly work: "write" | "check-cancellation" | "wait-for-cancellation" | "wait-and-end";
  readonly records?: number;
  readonly updateEvery?: number;
}

const { memory, work, records = 0, updateEvery = 1 } = workerData as WorkerOrder;
const writer = new SharedProgressWriter(memory);

switch (work) {
  case "write":
    parentPort?.postMessage(writeAll());
    break;
  case "check-cancellation": {
    let reason: string | undefined;
    // Never yields to the event loop: only the flag in the memory can tell.
    while (reason === undefined) reason = writer.cancellationReason();
    parentPort?.postMessage(reason);
    break;
  }
  case "wait-for-cancellation": {
    const keepAlive = setInterval(() => {}, 1_000);
    writer.whenCancelled().then((reason) => {
      clearInterval(keepAlive);
      parentPort?.postMessage(reason);
    });
    writer.update({ currentStep: "waiting" });
    break;
  }
  case "wait-and-end":
    void writer.whenCancelled();
    parentPort?.postMessage("ended");
}

function writeAll(): string {
  try {
    for (let index = 1; index <= records; index++) {
      const sequence = writer.record("epoch", { epoch: index, trainLoss: 1 / index });
      if (sequence !== memory.cursor + index) return `record ${index} got the sequence ${sequence}`;
      if (index % updateEvery === 0) {
        writer.update({
          percentage: (index / records) * 100,
          itemsProcessed: index,
          itemsTotal: records,
          currentStep: `item ${index}`,
          currentItem: "é".repeat(index % 50),
          context: { index },
          phasePath: ["run", `part ${index % 7}`],
        });
      }
    }
    return "written";
  } catch (error) {
    return String(error);
  }
}
