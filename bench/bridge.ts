import { ProgressBridge } from "../src/progress/progress-bridge.ts";
import type { ProgressReader } from "../src/progress/progress-reader.ts";
import type { ProgressUpdate, ProgressWriter } from "../src/progress/progress-update.ts";
import { SharedProgressBridge } from "../src/progress/shared-progress-bridge.ts";
import { SharedProgressWriter } from "../src/progress/shared-progress-writer.ts";

/** What one write costs. */
export interface BridgeTiming {
  readonly name: string;
  /** Mean of the fastest of five rounds, in nanoseconds. */
  readonly nsPerOperation: number;
}

const rounds = 5;
const operationsPerRound = 200_000;
/** Records between two drains; what they take fits the ring. */
const drainEvery = 5_000;

/** Measures one write of progress and of a metric record, to a bridge in the thread and to one in shared memory. */
export function benchBridge(): BridgeTiming[] {
  const local = new ProgressBridge({ operationType: "training" });
  const shared = new SharedProgressBridge({ operationType: "training" });
  const writer = new SharedProgressWriter(shared.memory);
  try {
    return [
      { name: "ProgressBridge.update", nsPerOperation: fastest(updates(local, flatUpdate)) },
      { name: "ProgressBridge.update with context", nsPerOperation: fastest(updates(local, updateWithContext)) },
      { name: "ProgressBridge.record", nsPerOperation: fastest(records(local, local)) },
      { name: "SharedProgressWriter.update", nsPerOperation: fastest(updates(writer, flatUpdate)) },
      { name: "SharedProgressWriter.update with context", nsPerOperation: fastest(updates(writer, updateWithContext)) },
      { name: "SharedProgressWriter.record", nsPerOperation: fastest(records(writer, shared)) },
    ];
  } finally {
    shared.close();
  }
}

const steps = Array.from({ length: 50 }, (_, index) => `Loading segment ${index + 1}/50`);

/** The text changes every hundredth time, as it does in a loop over items. */
function flatUpdate(index: number): ProgressUpdate {
  const currentStep = steps[Math.floor(index / 100) % steps.length] ?? "";
  return { percentage: (index % 1000) / 10, currentStep, itemsProcessed: index, itemsTotal: operationsPerRound };
}

function updateWithContext(index: number): ProgressUpdate {
  return { ...flatUpdate(index), context: { epoch: index, loss: 1 / (index + 1), phase: "train" } };
}

function updates(writer: ProgressWriter, progress: (index: number) => ProgressUpdate): () => number {
  return () => {
    const start = process.hrtime.bigint();
    for (let index = 0; index < operationsPerRound; index++) writer.update(progress(index));
    return Number(process.hrtime.bigint() - start);
  };
}

/** The drains are not part of the time. */
function records(writer: ProgressWriter, reader: ProgressReader): () => number {
  return () => {
    let spent = 0n;
    for (let written = 0; written < operationsPerRound; written += drainEvery) {
      const start = process.hrtime.bigint();
      for (let epoch = 0; epoch < drainEvery; epoch++) {
        writer.record("epoch", { epoch, trainLoss: 1 / (epoch + 1), valLoss: 0.5, learningRate: 1e-3 });
      }
      spent += process.hrtime.bigint() - start;
      const { cursor } = reader.read();
      reader.recordsAfter(cursor - drainEvery, drainEvery);
      reader.release(cursor);
    }
    return Number(spent);
  };
}

function fastest(round: () => number): number {
  return Math.min(...Array.from({ length: rounds }, round)) / operationsPerRound;
}
