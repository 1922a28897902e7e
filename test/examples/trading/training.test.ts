import { join } from "node:path";
import type { JsonObject } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { loadData } from "../../../examples/trading/data-load.ts";
import { operationFunc, type TrainingSummary } from "../../../examples/trading/training-worker.ts";
import { FakeContext, noDatabase } from "./fake-context.ts";
import { temporaryFolder } from "./temporary-folder.ts";

describe("training", () => {
  test("learns over all bars, and records every epoch", async () => {
    const { fake, summary } = await train({ epochs: 20 });
    const epochs = fake.records("epoch");

    expect(epochs.map((epoch) => epoch.epoch)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(epochs.at(-1)?.trainLoss).toBeLessThan(epochs.at(0)?.trainLoss ?? 0);
    for (const epoch of epochs) {
      expect(epoch).toMatchObject({ learningRate: 0.05, durationSeconds: expect.any(Number) });
      expect(epoch.valLoss).toBeGreaterThan(0);
      expect(epoch.valAccuracy).toBeGreaterThan(0.4);
      expect(epoch.trainAccuracy).toBeGreaterThan(0.5);
    }
    // 5,105 bars less 20 before the first example and one after the last: 5,084, of which a fifth validates.
    expect(summary).toMatchObject({ bars: 5105, epochs: 20, training_examples: 4067, validation_examples: 1017 });
  });

  test("its summary is that of the epochs", async () => {
    const { fake, summary } = await train({ epochs: 8 });
    const losses = fake.records("epoch").map((epoch) => epoch.valLoss ?? Number.NaN);

    expect(summary.best_val_loss).toBe(Math.min(...losses));
    expect(summary.best_epoch).toBe(losses.indexOf(Math.min(...losses)) + 1);
    expect(summary.val_loss).toBe(losses.at(-1));
  });

  test("the same seed gives the same numbers, another seed others", async () => {
    const [one, same, other] = await Promise.all([
      train({ epochs: 3, seed: 7 }),
      train({ epochs: 3, seed: 7 }),
      train({ epochs: 3, seed: 8 }),
    ]);

    expect(same.summary).toEqual(one.summary);
    expect(trainLosses(same.fake)).toEqual(trainLosses(one.fake));
    expect(trainLosses(other.fake)).not.toEqual(trainLosses(one.fake));
  });

  test("learns the same from the database as from the file", async () => {
    const database = join(await temporaryFolder(), "trading.sqlite");
    const fromFile = await train({ epochs: 2, database });
    await loadData("op", new FakeContext({ operationType: "data_load", parameters: { database } }).context);
    const fromDatabase = await train({ epochs: 2, database });

    expect(fromFile.summary.data_origin).toBe("file");
    expect(fromFile.fake.warnings).toEqual([expect.stringContaining(database)]);
    expect(fromDatabase.fake.warnings).toEqual([]);
    expect(fromDatabase.summary).toEqual({ ...fromFile.summary, data_origin: "database" });
  });

  test("what comes after the validation's first day does not change what is learned", async () => {
    // 150 trading days more, and a share that leaves just as many examples for training.
    const short = await train({ epochs: 3, validation_share: 0.2 }, "2002-02-05");
    const examples = short.summary.training_examples + short.summary.validation_examples;
    const long = await train({ epochs: 3, validation_share: 1 - (0.8 * examples) / (examples + 150) }, "2002-09-10");

    expect(long.summary.bars).toBe(short.summary.bars + 150);
    expect(long.summary.training_examples).toBe(short.summary.training_examples);
    expect(trainLosses(long.fake)).toEqual(trainLosses(short.fake));
  });

  test("its progress goes by epochs", async () => {
    const { fake } = await train({ epochs: 4 });

    expect(fake.percentages).toEqual(fake.percentages.toSorted((left, right) => left - right));
    expect(fake.percentages.at(-1)).toBe(100);
    const epoch = fake.records("epoch")[1];
    expect(fake.updates.find((update) => update.itemsProcessed === 2)).toMatchObject({
      itemsTotal: 4,
      percentage: 52.5,
      context: { epoch: 2, train_loss: epoch?.trainLoss, val_loss: epoch?.valLoss },
    });
  });

  test("sees a cancellation in the middle of an epoch, without an event", async () => {
    let asked = 0;
    const fake = new FakeContext({
      operationType: "training",
      parameters: { database: noDatabase },
      probe: () => {
        asked += 1;
        return asked > 5 ? "enough" : undefined;
      },
    });

    await expect(operationFunc("op", fake.context)).rejects.toMatchObject({ name: "AbortError", reason: "enough" });
    expect(fake.records("epoch")).toEqual([]);
  });

  test("a cancellation ends the pause between two epochs", async () => {
    const fake = new FakeContext({ operationType: "training", parameters: { database: noDatabase, delay_ms: 60_000 } });
    fake.onUpdate = () => {
      if (fake.records("epoch").length === 1) setImmediate(() => fake.cancellation.cancel("enough"));
    };

    await expect(operationFunc("op", fake.context)).rejects.toMatchObject({ name: "AbortError" });
    expect(fake.records("epoch")).toHaveLength(1);
  });

  test.each([
    [{ epochs: 0 }, "parameters.epochs"],
    [{ learning_rate: 0 }, "parameters.learning_rate"],
    [{ hidden_units: 2.5 }, "parameters.hidden_units"],
    [{ batch_size: 0 }, "parameters.batch_size"],
    [{ window: 3 }, "parameters.window"],
    [{ validation_share: 1 }, "parameters.validation_share"],
    [{ seed: -1 }, "parameters.seed"],
    [{ lr: 0.1 }, "parameters.lr"],
  ])("refuses %j by name", async (parameters, name) => {
    const fake = new FakeContext({ operationType: "training", parameters });
    await expect(operationFunc("op", fake.context)).rejects.toThrow(`${name}: `);
  });

  test("names the window when there are too few bars for it", async () => {
    await expect(train({ window: 20 }, "2000-02-01")).rejects.toThrow("parameters.window: ");
  });
});

async function train(
  parameters: JsonObject,
  endDate?: string,
): Promise<{ fake: FakeContext; summary: TrainingSummary }> {
  const metadata = endDate === undefined ? {} : { endDate: timestampFromDate(new Date(endDate)) };
  const fake = new FakeContext({
    operationType: "training",
    parameters: { database: noDatabase, ...parameters },
    metadata,
  });
  return { fake, summary: await operationFunc("op", fake.context) };
}

function trainLosses(fake: FakeContext): (number | undefined)[] {
  return fake.records("epoch").map((epoch) => epoch.trainLoss);
}
