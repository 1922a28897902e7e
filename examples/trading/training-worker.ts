import type { JsonObject } from "@bufbuild/protobuf";
import type { CancellationToken, OperationContext } from "longhaul";
import { defaultDatabase } from "./bar-database.ts";
import { type Dataset, splitChronologically, standardize } from "./dataset.ts";
import { type Example, examplesFromBars, featureNames } from "./features.ts";
import { loadBars } from "./loaded-bars.ts";
import { type Evaluation, Model } from "./model.ts";
import { delayMs, integerBetween, numberBetween, parameterError, readParameters, textOr } from "./parameters.ts";
import { pause } from "./pause.ts";
import { createRandom, type Random, shuffledIndices } from "./random.ts";

interface TrainingParameters {
  /** Passes over the training examples. Default 50. */
  readonly epochs: number;
  /** Length of a step of gradient descent. Default 0.05. */
  readonly learning_rate: number;
  /** Units of the hidden layer. Default 8. */
  readonly hidden_units: number;
  /** Examples per step. Default 32. */
  readonly batch_size: number;
  /** Days the features look back, at least 4. Default 20. */
  readonly window: number;
  /** Share of the examples kept for validation, the newest ones. Default 0.2. */
  readonly validation_share: number;
  /** Decides the first weights and the order of the examples. Default 1. */
  readonly seed: number;
  /** The SQLite file a data_load has filled. */
  readonly database: string;
  /** Pause after each epoch, in milliseconds. Default 0. */
  readonly delay_ms: number;
}

/** What a training says at its end. A type and no interface, so that it is a JSON object. */
export type TrainingSummary = {
  readonly bars: number;
  readonly data_origin: "database" | "file";
  readonly seed: number;
  readonly training_examples: number;
  readonly validation_examples: number;
  /** The first day of the validation. */
  readonly validation_from: string;
  readonly epochs: number;
  /** Losses and accuracies after the last epoch. */
  readonly train_loss: number;
  readonly train_accuracy: number;
  readonly val_loss: number;
  readonly val_accuracy: number;
  /** The epoch with the smallest validation loss, the first of equals. */
  readonly best_epoch: number;
  readonly best_val_loss: number;
  readonly best_val_accuracy: number;
  /** What always guessing "up" gets right: an accuracy that is no better has learned nothing. */
  readonly val_share_of_rising_days: number;
};

interface Epoch {
  readonly number: number;
  readonly training: Evaluation;
  readonly validation: Evaluation;
}

/**
 * Trains a small network to tell from the last days whether the next one closes higher, and records every epoch. Runs
 * in a worker thread. The same parameters and bars give the same numbers, durations excepted.
 */
export async function operationFunc(_operationId: string, context: OperationContext): Promise<TrainingSummary> {
  const parameters = readTrainingParameters(context.parameters);
  const { progress, token } = context;

  progress.startStep("Prepare examples", { fromPercentage: 0, toPercentage: 5 });
  const { bars, origin } = await loadBars(context, parameters.database);
  if (bars.length < 2 * parameters.window) {
    throw parameterError("window", `${parameters.window} days need twice as many bars, and there are ${bars.length}`);
  }
  const examples = examplesFromBars(bars, parameters.window);
  const dataset = standardize(splitChronologically(examples, parameters.validation_share));
  progress.completeStep();

  progress.startStep("Train epochs", { fromPercentage: 5, toPercentage: 100, items: parameters.epochs });
  const random = createRandom(parameters.seed);
  const model = new Model(featureNames.length, parameters.hidden_units, random);
  const history: Epoch[] = [];
  for (let number = 1; number <= parameters.epochs; number++) {
    const begin = performance.now();
    trainEpoch(model, dataset.training, parameters, random, token);
    const epoch = {
      number,
      training: model.evaluate(dataset.training),
      validation: model.evaluate(dataset.validation),
    };
    history.push(epoch);
    recordEpoch(context, epoch, parameters.learning_rate, (performance.now() - begin) / 1000);
    progress.updateStepProgress({
      itemsProcessed: number,
      context: { epoch: number, train_loss: epoch.training.loss, val_loss: epoch.validation.loss },
    });
    await pause(parameters.delay_ms, token.signal);
  }
  progress.completeStep();
  return { bars: bars.length, data_origin: origin, seed: parameters.seed, ...summarize(dataset, history) };
}

function readTrainingParameters(given: JsonObject): TrainingParameters {
  return readParameters<TrainingParameters>(given, {
    epochs: integerBetween({ default: 50, min: 1, max: 100_000 }),
    learning_rate: numberBetween({ default: 0.05, min: 1e-6, max: 10 }),
    hidden_units: integerBetween({ default: 8, min: 1, max: 256 }),
    batch_size: integerBetween({ default: 32, min: 1, max: 4096 }),
    window: integerBetween({ default: 20, min: 4, max: 250 }),
    validation_share: numberBetween({ default: 0.2, min: 0.05, max: 0.5 }),
    seed: integerBetween({ default: 1, min: 0, max: 2 ** 32 - 1 }),
    database: textOr(defaultDatabase),
    delay_ms: delayMs,
  });
}

function trainEpoch(
  model: Model,
  examples: readonly Example[],
  parameters: TrainingParameters,
  random: Random,
  token: CancellationToken,
): void {
  const order = shuffledIndices(examples.length, random);
  for (let start = 0; start < order.length; start += parameters.batch_size) {
    // This loop never gives the thread back, so no event arrives; the flag is read from memory shared with the caller.
    token.throwIfCancelled();
    const batch = Array.from(order.subarray(start, start + parameters.batch_size)).flatMap(
      (index) => examples[index] ?? [],
    );
    model.descend(batch, parameters.learning_rate);
  }
}

function recordEpoch(context: OperationContext, epoch: Epoch, learningRate: number, durationSeconds: number): void {
  context.record("epoch", {
    epoch: epoch.number,
    trainLoss: epoch.training.loss,
    valLoss: epoch.validation.loss,
    trainAccuracy: epoch.training.accuracy,
    valAccuracy: epoch.validation.accuracy,
    learningRate,
    durationSeconds,
  });
}

function summarize(
  dataset: Dataset,
  history: readonly Epoch[],
): Omit<TrainingSummary, "bars" | "data_origin" | "seed"> {
  const best = history.reduce((left, right) => (right.validation.loss < left.validation.loss ? right : left));
  const last = history.at(-1) ?? best;
  const rising = dataset.validation.filter((example) => example.label === 1).length;
  return {
    epochs: history.length,
    train_loss: last.training.loss,
    train_accuracy: last.training.accuracy,
    val_loss: last.validation.loss,
    val_accuracy: last.validation.accuracy,
    best_epoch: best.number,
    best_val_loss: best.validation.loss,
    best_val_accuracy: best.validation.accuracy,
    val_share_of_rising_days: rising / dataset.validation.length,
    training_examples: dataset.training.length,
    validation_examples: dataset.validation.length,
    validation_from: dataset.validation.at(0)?.date ?? "",
  };
}
