import { expect, test } from "vitest";
import { renderBacktesting, renderDataLoad, renderPlain, renderTraining } from "../../src/progress/renderers.ts";

test("a training shows its epoch and losses", () => {
  const context = { epoch: 5, train_loss: 0.4512, val_loss: 0.5 };
  expect(renderTraining({ itemsTotal: 10, context })).toBe("Epoch 5/10 · train loss 0.45 · val loss 0.50");
  expect(renderTraining({ context: { epoch: 5, epochs: 8, loss: 0.00042 } })).toBe("Epoch 5/8 · train loss 0.00042");
  expect(renderTraining({ context: { epoch: 1 } })).toBe("Epoch 1");
});

test("a data load shows its segment and items", () => {
  const items = { itemsProcessed: 250, itemsTotal: 500 };
  expect(renderDataLoad({ ...items, context: { segment: 7, segments: 50 } })).toBe(
    "Loading segment 7/50 · 250/500 items",
  );
  expect(renderDataLoad({ stepsTotal: 50, context: { segment: 7 } })).toBe("Loading segment 7/50");
});

test("a backtest shows its bar, trades and equity", () => {
  const bars = { itemsProcessed: 1200, itemsTotal: 5104 };
  expect(renderBacktesting({ ...bars, context: { trades: 14, equity: 10523.1 } })).toBe(
    "Bar 1200/5104 · 14 trades · equity 10,523.10",
  );
  expect(renderBacktesting({ itemsProcessed: 3, context: { trades: 1 } })).toBe("Bar 3 · 1 trade");
});

test("without what its domain needs, a renderer shows the step and its items", () => {
  const state = { currentStep: "Preparing", itemsProcessed: 2, itemsTotal: 4 };
  for (const render of [renderPlain, renderTraining, renderDataLoad, renderBacktesting]) {
    expect(render(state)).toBe("Preparing · 2/4 items");
  }
  expect(renderPlain({ currentStep: "Preparing" })).toBe("Preparing");
  expect(renderPlain({})).toBe("");
});
