import { once } from "node:events";
import { readFile } from "node:fs/promises";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { goProgram, missing, run } from "./programs.ts";

const reason = await missing(["go", "version"]);
if (reason !== undefined) {
  process.stderr.write(`interop: h2spec ${reason}\n`);
}

/** What cannot be otherwise here, and why. */
const exceptions: Readonly<Record<string, string>> = {
  "http2/3.5: Sends invalid connection preface":
    "the plaintext port speaks HTTP/1.1, too, and answers what is neither with its 400",
};

describe.skipIf(reason !== undefined)("h2spec", () => {
  let program: string;
  beforeAll(async () => {
    program = await goProgram("github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible");
  });

  test("a server breaks no rule of HTTP/2 that node:http2 keeps", async () => {
    const bare = http2.createServer((_, response) => response.end("{}"));
    bare.listen(0, "127.0.0.1");
    await once(bare, "listening");
    onTestFinished(() => void bare.close());
    const ours = await startServerProcess(await temporaryDirectory());

    const brokenByNode = await brokenRules(program, (bare.address() as AddressInfo).port);
    const brokenByUs = await brokenRules(program, ours.port);
    process.stdout.write(`h2spec: node:http2 breaks ${brokenByNode.size} rules, this server ${brokenByUs.size}\n`);
    let onlyByUs = brokenByUs.difference(brokenByNode);
    if (onlyByUs.size > Object.keys(exceptions).length) {
      // Some rules are about what comes first, an answer or the end of the connection: only what is broken again counts.
      onlyByUs = onlyByUs.intersection(await brokenRules(program, ours.port));
    }
    expect(onlyByUs).toEqual(new Set(Object.keys(exceptions)));
  });
});

/** What a server does otherwise than the suite wants, each as "section: what was sent". */
async function brokenRules(program: string, port: number): Promise<Set<string>> {
  const report = join(await temporaryDirectory(), "report.xml");
  const path = "/longhaul.v1.OperationsService/GetOperation";
  // 1 says that something failed.
  await run(program, ["-h", "127.0.0.1", "-p", String(port), "--path", path, "-o", "2", "-j", report], {
    codes: [0, 1],
  });
  const cases = (await readFile(report, "utf8")).matchAll(
    /<testcase package="([^"]*)" classname="([^"]*)"[^>]*>\s*<(?:failure|error)/g,
  );
  return new Set([...cases].map(([, section, what]) => `${section}: ${what}`));
}
