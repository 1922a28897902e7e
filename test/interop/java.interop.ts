import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { printedSteps, testClient } from "./client-tests.ts";
import { descriptorSet, protoFiles, run, workFolder } from "./programs.ts";

const source = join(import.meta.dirname, "java");

async function java(program: string, options: readonly string[]): Promise<string> {
  const folder = await workFolder("java");
  const classes = `${join(folder, "build", "classes")}:${join(folder, "libraries", "*")}`;
  return run("java", ["-cp", classes, program, ...options]);
}

await testClient("Java", {
  needs: [
    ["java", "-version"],
    ["mvn", "-version"],
  ],
  build: async () => {
    const folder = await workFolder("java");
    const generated = join(folder, "generated");
    await mkdir(generated, { recursive: true });
    const maven = (phase: string) => run("mvn", ["-q", "-B", `-Dwork=${folder}`, phase], { cwd: source });
    await maven("initialize");
    const protoc = join(folder, "tools", "protoc-linux-x86_64.exe");
    const plugin = join(folder, "tools", "protoc-gen-grpc-java-linux-x86_64.exe");
    await Promise.all([chmod(protoc, 0o755), chmod(plugin, 0o755)]);
    await run(protoc, [
      `--descriptor_set_in=${descriptorSet}`,
      `--java_out=${generated}`,
      `--plugin=protoc-gen-grpc-java=${plugin}`,
      `--grpc-java_out=${generated}`,
      ...protoFiles,
    ]);
    await maven("package");
    return (_, target) => printedSteps((options) => java("Client", options), target);
  },
  greet: (address) => java("Greeting", [address]),
  protocols: ["grpc-java"],
});
