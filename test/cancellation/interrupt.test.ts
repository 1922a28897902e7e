import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { globalCancellationReason, resetGlobalCancellation } from "../../src/cancellation/global-cancellation.ts";
import { installInterruptHandler } from "../../src/cancellation/interrupt.ts";

let uninstall = (): void => {};
afterEach(() => {
  uninstall();
  resetGlobalCancellation();
});

test("the first signal cancels every operation, and the second one ends the process", () => {
  const heard: string[] = [];
  uninstall = installInterruptHandler({
    signals: ["SIGUSR2"],
    onFirst: (signal) => heard.push(`first ${signal}: ${globalCancellationReason()}`),
    onSecond: (signal) => heard.push(`second ${signal}`),
  });
  process.emit("SIGUSR2", "SIGUSR2");
  process.emit("SIGUSR2", "SIGUSR2");
  expect(heard).toEqual(["first SIGUSR2: the process was interrupted by SIGUSR2", "second SIGUSR2"]);
});

test("uninstalling leaves no listener behind", () => {
  const before = process.listenerCount("SIGINT");
  const remove = installInterruptHandler();
  expect(process.listenerCount("SIGINT")).toBe(before + 1);
  remove();
  remove();
  expect(process.listenerCount("SIGINT")).toBe(before);
});

test("a process goes on after one Ctrl+C and exits with 130 after the second", async () => {
  const module = new URL("../../src/cancellation/interrupt.ts", import.meta.url);
  const script = `
    import { installInterruptHandler } from ${JSON.stringify(module.href)};
    installInterruptHandler({ onFirst: () => console.log("cancelled") });
    setInterval(() => {}, 1000);
    console.log("ready");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const lines: string[] = [];
  for await (const chunk of child.stdout) {
    lines.push(...String(chunk).trim().split("\n"));
    child.kill("SIGINT");
  }
  expect(await exited).toEqual([130, null]);
  expect(lines).toEqual(["ready", "cancelled"]);
});
