import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { CancellationController, CancellationError } from "../../src/cancellation/cancellation-token.ts";

describe("a token", () => {
  test("is not cancelled until its controller says so", () => {
    const { token } = new CancellationController();
    expect(token.isCancelled()).toBe(false);
    expect(token.reason).toBeUndefined();
    token.throwIfCancelled();
    expect(token.wasObserved).toBe(false);
  });

  test("keeps the first reason", () => {
    const controller = new CancellationController();
    expect(controller.cancel("first")).toBe(true);
    expect(controller.cancel("second")).toBe(false);
    expect(controller.token.reason).toBe("first");
    expect(() => controller.token.throwIfCancelled()).toThrow(new CancellationError("first"));
  });

  test("wakes everyone who waits, before and after the cancellation", async () => {
    const controller = new CancellationController();
    const waits = [controller.token.waitForCancellation(), controller.token.waitForCancellation()];
    controller.cancel("enough");
    expect(await Promise.all([...waits, controller.token.waitForCancellation()])).toEqual([
      "enough",
      "enough",
      "enough",
    ]);
  });

  test("asks its probe, and keeps what it once said", () => {
    let flag: string | undefined;
    const controller = new CancellationController({ probe: () => flag });
    expect(controller.token.isCancelled()).toBe(false);
    flag = "from the memory";
    expect(controller.token.reason).toBe("from the memory");
    flag = undefined;
    expect(controller.token.reason).toBe("from the memory");
    expect(controller.cancel("later")).toBe(false);
  });

  test("hears of the probe's cancellation without asking once somebody waits", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    let asked = 0;
    const whenProbed = () => {
      asked++;
      return promise;
    };
    const { token } = new CancellationController({ whenProbed });
    token.isCancelled();
    expect(asked).toBe(0);
    const wait = token.waitForCancellation();
    const { signal } = token;
    expect(asked).toBe(1);
    resolve("from the thread");
    expect(await wait).toBe("from the thread");
    expect(signal.aborted).toBe(true);
  });
});

describe("the signal", () => {
  test("aborts with the CancellationError and is the same one each time", () => {
    const controller = new CancellationController();
    const { signal } = controller.token;
    expect(controller.token.signal).toBe(signal);
    expect(signal.aborted).toBe(false);
    controller.cancel("enough");
    expect(signal.reason).toBeInstanceOf(CancellationError);
    expect(signal.reason).toMatchObject({ name: "AbortError", code: "ABORT_ERR", reason: "enough" });
  });

  test("is aborted from the beginning when it is taken after the cancellation", () => {
    const controller = new CancellationController();
    controller.cancel("before");
    expect(controller.token.signal.aborted).toBe(true);
  });

  test("ends a timer and a fetch", async () => {
    const controller = new CancellationController();
    const { signal } = controller.token;
    const timer = delay(60_000, undefined, { signal });
    const call = fetch("http://127.0.0.1:9/", { signal });
    controller.cancel("enough");
    await expect(timer).rejects.toMatchObject({ name: "AbortError" });
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("whether the holder was told", () => {
  const cancelled = () => {
    const controller = new CancellationController();
    controller.cancel("enough");
    return controller.token;
  };

  test("cancelling and reading the reason tell nobody", () => {
    const token = cancelled();
    expect(token.reason).toBe("enough");
    expect(token.wasObserved).toBe(false);
  });

  test("isCancelled, throwIfCancelled and the signal do", () => {
    const asked = cancelled();
    asked.isCancelled();
    const thrown = cancelled();
    expect(() => thrown.throwIfCancelled()).toThrow(CancellationError);
    const signalled = cancelled();
    expect(signalled.signal.aborted).toBe(true);
    expect([asked, thrown, signalled].map((token) => token.wasObserved)).toEqual([true, true, true]);
  });

  test("a signal and a wait taken earlier tell at the cancellation, not before", async () => {
    for (const take of ["signal", "waitForCancellation"] as const) {
      const controller = new CancellationController();
      if (take === "signal") expect(controller.token.signal.aborted).toBe(false);
      else void controller.token.waitForCancellation();
      expect(controller.token.wasObserved).toBe(false);
      controller.cancel("enough");
      await nextTurn();
      expect(controller.token.wasObserved).toBe(true);
    }
  });
});
