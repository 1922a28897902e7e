import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { goProgram, missing, run, workFolder } from "./programs.ts";

const version = "v1.0.7";
const folder = join(import.meta.dirname, "conformance");
const reason = await missing(["go", "version"]);
if (reason !== undefined) {
  process.stderr.write(`interop: the conformance suite ${reason}\n`);
}

describe.skipIf(reason !== undefined)("connectrpc/conformance", () => {
  let program: string;
  let descriptors: string;
  beforeAll(async () => {
    program = await goProgram(`connectrpc.com/conformance/cmd/connectconformance@${version}`);
    // The suite's protos come with its source.
    const source = await run("go", ["mod", "download", "-json", `connectrpc.com/conformance@${version}`]);
    descriptors = join(await workFolder("conformance"), "suite.binpb");
    await run("buf", ["build", join(JSON.parse(source).Dir, "proto"), "-o", descriptors]);
  });

  test.each([
    ["with the fast lane", ["--fast-lane"]],
    ["without it", []],
  ])(
    "unary cases over every protocol and version of HTTP, plaintext, TLS and client certificates, %s",
    async (_, flags) => {
      const output = await run(
        program,
        [
          ...["--mode", "server", "--conf", join(folder, "config.yaml")],
          ...["--known-failing", `@${join(folder, "known-failing.txt")}`],
          ...["--known-flaky", `@${join(folder, "known-flaky.txt")}`],
          ...["--", process.execPath, "--conditions=source", join(folder, "server.ts"), ...flags],
        ],
        { env: { CONFORMANCE_DESCRIPTORS: descriptors } },
      );
      process.stdout.write(`conformance: ${output.trim().split("\n").slice(-3).join(" ")}\n`);
      expect(output).toMatch(/\d{4} passed, 0 failed/);
    },
  );
});
