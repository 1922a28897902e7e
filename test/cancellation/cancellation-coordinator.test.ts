import { afterEach, describe, expect, test } from "vitest";
import { CancellationCoordinator } from "../../src/cancellation/cancellation-coordinator.ts";
import {
  cancelAllOperations,
  globalCancellationListenerCount,
  globalCancellationReason,
  resetGlobalCancellation,
} from "../../src/cancellation/global-cancellation.ts";

const coordinators: CancellationCoordinator[] = [];
function createCoordinator(): CancellationCoordinator {
  const coordinator = new CancellationCoordinator();
  coordinators.push(coordinator);
  return coordinator;
}
afterEach(() => {
  for (const coordinator of coordinators.splice(0)) coordinator.close();
  resetGlobalCancellation();
});

describe("one operation", () => {
  test("has the same token each time", () => {
    const coordinator = createCoordinator();
    expect(coordinator.tokenFor("a")).toBe(coordinator.tokenFor("a"));
    expect(coordinator.tokenFor("a")).not.toBe(coordinator.tokenFor("b"));
  });

  test("is cancelled without the others, by the first reason", () => {
    const coordinator = createCoordinator();
    expect(coordinator.cancel("a", "first")).toBe(true);
    expect(coordinator.cancel("a", "second")).toBe(false);
    expect(coordinator.tokenFor("a").reason).toBe("first");
    expect(coordinator.tokenFor("b").isCancelled()).toBe(false);
  });

  test("leaves nothing behind when it is released", () => {
    const coordinator = createCoordinator();
    for (let index = 0; index < 10_000; index++) {
      const id = `op_${index}`;
      coordinator.tokenFor(id);
      if (index % 2 === 0) coordinator.cancel(id, "enough");
      coordinator.release(id);
      coordinator.release(id);
    }
    expect(coordinator.size).toBe(0);
  });
});

describe("all operations", () => {
  test("those there and those to come are cancelled until the reset", () => {
    const coordinator = createCoordinator();
    const before = coordinator.tokenFor("before");
    const heard: string[] = [];
    const stop = coordinator.onCancelAll((reason) => heard.push(`${reason}, ${before.isCancelled()}`));
    coordinator.cancelAll("shutdown");
    coordinator.cancelAll("again");
    expect(coordinator.tokenFor("after").reason).toBe("shutdown");
    expect(heard).toEqual(["shutdown, true"]);
    coordinator.reset();
    expect(before.reason).toBe("shutdown");
    expect(coordinator.tokenFor("later").isCancelled()).toBe(false);
    stop();
    coordinator.cancelAll("unheard");
    expect(heard).toHaveLength(1);
  });

  test("the whole process reaches every coordinator, also those made later", () => {
    const first = createCoordinator();
    const second = createCoordinator();
    const heard: string[] = [];
    first.onCancelAll((reason) => heard.push(`first ${reason}`));
    second.onCancelAll((reason) => heard.push(`second ${reason}`));
    const tokens = [first.tokenFor("a"), second.tokenFor("b")];
    expect(cancelAllOperations("Ctrl+C")).toBe(true);
    expect(cancelAllOperations("again")).toBe(false);
    const third = createCoordinator();
    expect([...tokens, third.tokenFor("c")].map((token) => token.reason)).toEqual(["Ctrl+C", "Ctrl+C", "Ctrl+C"]);
    expect(heard).toEqual(["first Ctrl+C", "second Ctrl+C"]);
    expect(third.cancelAllReason).toBe("Ctrl+C");
    resetGlobalCancellation();
    expect(globalCancellationReason()).toBeUndefined();
    expect(third.tokenFor("d").isCancelled()).toBe(false);
  });

  test("a closed coordinator is not held by the process and hears nothing", () => {
    const before = globalCancellationListenerCount();
    const closed = createCoordinator();
    const token = closed.tokenFor("a");
    closed.close();
    closed.close();
    expect(globalCancellationListenerCount()).toBe(before);
    cancelAllOperations("Ctrl+C");
    expect(token.isCancelled()).toBe(false);
  });
});
