import { join } from "node:path";
import { printedSteps, testClient } from "./client-tests.ts";
import { descriptorSet, protoFiles, run, workFolder } from "./programs.ts";

const source = join(import.meta.dirname, "python");

await testClient("Python", {
  needs: [["python3", "-m", "venv", "--help"]],
  build: async () => {
    const folder = await workFolder("python");
    const python = join(folder, "venv", "bin", "python");
    await run("python3", ["-m", "venv", join(folder, "venv")]);
    await run(python, ["-m", "pip", "install", "--quiet", "-r", join(source, "requirements.txt")]);
    await run(python, [
      "-m",
      "grpc_tools.protoc",
      `--descriptor_set_in=${descriptorSet}`,
      `--python_out=${folder}`,
      `--grpc_python_out=${folder}`,
      ...protoFiles,
    ]);
    const client = (options: readonly string[]) =>
      run(python, [join(source, "client.py"), ...options], { env: { PYTHONPATH: folder } });
    return (_, target) => printedSteps(client, target);
  },
  greet: async (address) => {
    const folder = await workFolder("python");
    const python = join(folder, "venv", "bin", "python");
    return run(python, [join(source, "greeting.py"), address], { env: { PYTHONPATH: folder } });
  },
  load: async () => {
    const folder = await workFolder("python");
    return {
      command: join(folder, "venv", "bin", "python"),
      given: [join(source, "client.py"), "--load"],
      env: { PYTHONPATH: folder },
    };
  },
  protocols: ["grpcio"],
});
