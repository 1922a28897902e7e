import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Asks the command line for help, with nothing in its environment but what is given. Rejects when that fails. */
async function askForHelp(env: Record<string, string>): Promise<void> {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--conditions=source", main, "--help"], {
    env,
  });
  expect(stdout).toContain("Usage: longhaul");
  expect(stderr).toBe("");
}

test("compiled code is kept in the home directory of who runs the command line", async () => {
  const home = await temporaryDirectory();
  await askForHelp({ HOME: home });
  expect(readdirSync(join(home, ".cache", "longhaul"))).not.toEqual([]);
});

test("it is kept nowhere when Node.js is told so", async () => {
  const home = await temporaryDirectory();
  await askForHelp({ HOME: home, NODE_DISABLE_COMPILE_CACHE: "1" });
  expect(existsSync(join(home, ".cache"))).toBe(false);
});

test("without a place that can be written, the command line works as well", () => askForHelp({ HOME: "/dev/null" }));
