import { expect, test } from "vitest";
import { HealthState } from "../../src/rpc/health-state.ts";

test("a server that is going to stop is not serving, whatever becomes of its store", () => {
  const state = new HealthState();
  expect(state.isServing).toBe(true);
  state.setStoreWorks(false);
  expect(state.isServing).toBe(false);
  state.setStoreWorks(true);
  expect(state.isServing).toBe(true);
  state.leave();
  state.setStoreWorks(true);
  expect(state.isServing).toBe(false);
});

test("a listener is told of every change until it leaves", () => {
  const state = new HealthState();
  const told: boolean[] = [];
  const unsubscribe = state.onChange(() => told.push(state.isServing));
  state.setStoreWorks(false);
  state.setStoreWorks(true);
  unsubscribe();
  state.leave();
  expect(told).toEqual([false, true]);
});
