import { describe, expect, test } from "vitest";
import { runCli } from "./run-cli.ts";

describe("a wrong command line", () => {
  test.each([
    [["bogus"], "bogus"],
    [["get"], "operation-id"],
    [["get", "op_1", "--bogus"], "--bogus"],
    [["cancel", "op_1"], "--reason"],
    [["list", "--status", "asleep"], "--status"],
    [["list", "--limit", "many"], "--limit"],
    [["run", "training", "--param", "x"], "--param"],
    [["metrics", "op_1", "--cursor", "-1"], "--cursor"],
    [["get", "op_1", "--server", "nowhere"], "server"],
  ])("ends with 2 and one line that names what is wrong: %j", async (args, name) => {
    const result = await runCli(args);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toContain(name);
    expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test("ends with 2 for a variable that is no setting", async () => {
    const result = await runCli(["get", "op_1"], { LONGHAUL_SEVRER: "http://127.0.0.1:1" });
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toContain("LONGHAUL_SEVRER");
  });

  test("is helped with 0", async () => {
    const result = await runCli(["run", "--help"]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toContain("--param <key=value>");
  });
});

describe("a server", () => {
  test.each([
    ["get", "op_1"],
    ["watch", "op_1"],
    ["metrics", "op_1", "--follow"],
    ["run", "training"],
  ])("that is not there ends %s with 4 and is named", async (...args) => {
    const result = await runCli(["--server", "http://127.0.0.1:1", ...args]);
    expect(result).toMatchObject({ code: 4, stdout: "" });
    expect(result.stderr).toMatch(/^longhaul: the server at http:\/\/127\.0\.0\.1:1 is not available: .+\n$/);
  });
});

describe("an older Node.js", () => {
  test("is told which one is needed, before anything is loaded", async () => {
    const older = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } })";
    const result = await runCli(["--help"], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(older)}`,
    });
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toBe("longhaul needs Node.js 24 or later; this is 20.1.0\n");
  });
});
