import { ProgressBridge } from "../src/progress/progress-bridge.ts";
import type { ProgressReader } from "../src/progress/progress-reader.ts";
import type { ProgressUpdate, ProgressWriter } from "../src/progress/progress-update.ts";
import { SharedProgressBridge } from "../src/progress/shared-progress-bridge.ts";
import { SharedProgressWriter } from "../src/progress/shared-progress-writer.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { spread } from "./harness/statistics.ts";

const writesPerRound = 200_000;
/** Records between two drains; what they take fits the ring. */
const drainEvery = 5_000;
const question = "One write to a bridge";

/** What one write of progress and of a metric record costs, to a bridge in the thread and to one in shared memory. */
export async function benchBridge({ quick }: BenchOptions): Promise<readonly Row[]> {
  const rounds = quick ? 5 : 15;
  const local = new ProgressBridge({ operationType: "training" });
  const shared = new SharedProgressBridge({ operationType: "training" });
  const writer = new SharedProgressWriter(shared.memory);
  try {
    return [
      { ...row("ProgressBridge.update", updates(local, flatUpdate), rounds), bar: { atMost: 100 } },
      row("ProgressBridge.update with context", updates(local, updateWithContext), rounds),
      row("ProgressBridge.record", records(local, local), rounds),
      { ...row("SharedProgressWriter.update", updates(writer, flatUpdate), rounds), bar: { atMost: 300 } },
      row("SharedProgressWriter.update with context", updates(writer, updateWithContext), rounds),
      row("SharedProgressWriter.record", records(writer, shared), rounds),
    ];
  } finally {
    shared.close();
  }
}

/** The first two rounds are for the compiler. */
function row(subject: string, nanosecondsOfRound: () => number, rounds: number): Row {
  const samples = Array.from({ length: rounds + 2 }, () => nanosecondsOfRound() / writesPerRound).slice(2);
  return { question, subject, unit: "ns", value: spread(samples) };
}

const steps = Array.from({ length: 50 }, (_, index) => `Loading segment ${index + 1}/50`);

/** The text changes every hundredth time, as it does in a loop over items. */
function flatUpdate(index: number): ProgressUpdate {
  const currentStep = steps[Math.floor(index / 100) % steps.length] ?? "";
  return { percentage: (index % 1000) / 10, currentStep, itemsProcessed: index, itemsTotal: writesPerRound };
}

function updateWithContext(index: number): ProgressUpdate {
  return { ...flatUpdate(index), context: { epoch: index, loss: 1 / (index + 1), phase: "train" } };
}

function updates(writer: ProgressWriter, progress: (index: number) => ProgressUpdate): () => number {
  return () => {
    const start = process.hrtime.bigint();
    for (let index = 0; index < writesPerRound; index++) writer.update(progress(index));
    return Number(process.hrtime.bigint() - start);
  };
}

/** The drains are not part of the time. */
function records(writer: ProgressWriter, reader: ProgressReader): () => number {
  return () => {
    let spent = 0n;
    for (let written = 0; written < writesPerRound; written += drainEvery) {
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
