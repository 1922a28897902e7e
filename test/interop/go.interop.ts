import { join } from "node:path";
import { printedSteps, testClient } from "./client-tests.ts";
import { descriptorSet, run, workFolder } from "./programs.ts";

const source = join(import.meta.dirname, "go");

await testClient("Go", {
  needs: [["go", "version"]],
  build: async () => {
    const folder = await workFolder("go");
    const bin = join(folder, "bin");
    const go = (...given: string[]) => run("go", given, { cwd: source, env: { GOBIN: bin } });
    await go("install", "tool");
    await run("buf", ["generate", descriptorSet, "--template", "buf.gen.yaml"], {
      cwd: source,
      env: { PATH: `${bin}:${process.env["PATH"]}` },
    });
    const program = join(folder, "client");
    await go("build", "-o", program, ".");
    await go("build", "-o", join(folder, "greeting"), "./greeting");
    return (protocol, target) => printedSteps((options) => run(program, ["--protocol", protocol, ...options]), target);
  },
  // All but the first are connect-go's.
  greet: async (address) => run(join(await workFolder("go"), "greeting"), [address]),
  load: async () => ({ command: join(await workFolder("go"), "client"), given: ["-load"] }),
  protocols: ["grpc-go", "connect", "grpc", "grpcweb"],
});
