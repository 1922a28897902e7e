import type { JsonObject } from "@bufbuild/protobuf";
import type { ProgressUpdate } from "./progress-update.ts";

/** Makes the text for people from a progress whose `currentStep` is the message, or else the name of the step. */
export type ProgressRenderer = (state: ProgressUpdate) => string;

const money = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** "Loading bars · 250/500 items": the step, and how many of its items are done as far as that is known. */
export function renderPlain(state: ProgressUpdate): string {
  return joined(state.currentStep, counted("", state.itemsProcessed, state.itemsTotal, " items"));
}

/**
 * "Epoch 5/10 · train loss 0.45 · val loss 0.50", from the context's `epoch`, `epochs`, `train_loss` (or `loss`) and
 * `val_loss`; the number of epochs defaults to the step's items. Without an epoch it is plain.
 */
export function renderTraining(state: ProgressUpdate): string {
  const epoch = numberIn(state.context, "epoch");
  if (epoch === undefined) return renderPlain(state);
  const trainLoss = numberIn(state.context, "train_loss") ?? numberIn(state.context, "loss");
  const valLoss = numberIn(state.context, "val_loss");
  return joined(
    counted("Epoch ", epoch, numberIn(state.context, "epochs") ?? state.itemsTotal),
    trainLoss === undefined ? undefined : `train loss ${loss(trainLoss)}`,
    valLoss === undefined ? undefined : `val loss ${loss(valLoss)}`,
  );
}

/**
 * "Loading segment 7/50 · 250/500 items", from the context's `segment` and `segments` and the step's items; the number
 * of segments defaults to the steps. Without a segment it is plain.
 */
export function renderDataLoad(state: ProgressUpdate): string {
  const segment = numberIn(state.context, "segment");
  if (segment === undefined) return renderPlain(state);
  return joined(
    counted("Loading segment ", segment, numberIn(state.context, "segments") ?? state.stepsTotal),
    counted("", state.itemsProcessed, state.itemsTotal, " items"),
  );
}

/**
 * "Bar 1200/5105 · 14 trades · equity 10,523.10", from the context's `bar`, `trades` and `equity`; the bar defaults to
 * the step's items. Without a trade or equity it is plain.
 */
export function renderBacktesting(state: ProgressUpdate): string {
  const trades = numberIn(state.context, "trades");
  const equity = numberIn(state.context, "equity");
  const bar = numberIn(state.context, "bar") ?? state.itemsProcessed;
  if (bar === undefined || (trades === undefined && equity === undefined)) return renderPlain(state);
  return joined(
    counted("Bar ", bar, state.itemsTotal),
    trades === undefined ? undefined : `${trades} ${trades === 1 ? "trade" : "trades"}`,
    equity === undefined ? undefined : `equity ${money.format(equity)}`,
  );
}

function joined(...parts: (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== "").join(" · ");
}

function counted(before: string, done: number | undefined, total: number | undefined, after = ""): string | undefined {
  if (done === undefined) return undefined;
  return total === undefined || total === 0 ? `${before}${done}${after}` : `${before}${done}/${total}${after}`;
}

/** Two decimals, and for small losses two significant digits. */
function loss(value: number): string {
  return value === 0 || Math.abs(value) >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

function numberIn(context: JsonObject | undefined, key: string): number | undefined {
  const value = context?.[key];
  return typeof value === "number" ? value : undefined;
}
