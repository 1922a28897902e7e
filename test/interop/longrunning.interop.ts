import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { descriptorSet, missing, run, workFolder } from "./programs.ts";
import { pythonEnvironment } from "./python-environment.ts";
import { plaintextTarget } from "./targets.ts";

/** What the polling helpers of Google's client libraries see, whatever the language: a line for each part. */
const seen =
  /^result: .*\nerror: .*no data\ncancelled: .*through google\.longrunning\nlisted: all three\ndeleted: .*\n$/;

const languages = [
  {
    name: "google-api-core (Python)",
    needs: ["python3", "-m", "venv", "--help"] as const,
    client: async () => {
      const source = join(import.meta.dirname, "longrunning", "python");
      const python = await pythonEnvironment("longrunning-python", join(source, "requirements.txt"));
      return (address: string) => python(join(source, "client.py"), address);
    },
  },
  {
    name: "cloud.google.com/go/longrunning",
    needs: ["go", "version"] as const,
    client: async () => {
      const source = join(import.meta.dirname, "longrunning", "go");
      const folder = await workFolder("longrunning-go");
      const bin = join(folder, "bin");
      await run("go", ["install", "tool"], { cwd: source, env: { GOBIN: bin } });
      await run("buf", ["generate", descriptorSet], {
        cwd: source,
        env: { PATH: `${bin}:${process.env["PATH"]}` },
      });
      const program = join(folder, "client");
      await run("go", ["build", "-o", program, "."], { cwd: source });
      return (address: string) => run(program, [address]);
    },
  },
];

for (const { name, needs, client } of languages) {
  const reason = await missing(needs);
  if (reason !== undefined) {
    process.stderr.write(`interop: ${name} ${reason}\n`);
  }
  describe.skipIf(reason !== undefined)(name, () => {
    test(
      "its polling helper works with operations as it is",
      async () => {
        const { address } = await plaintextTarget();
        expect(await (await client())(address)).toMatch(seen);
      },
      15 * 60_000,
    );
  });
}
