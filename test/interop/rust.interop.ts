import { join } from "node:path";
import { printedSteps, testClient } from "./client-tests.ts";
import { descriptorSet, run, workFolder } from "./programs.ts";

const source = join(import.meta.dirname, "rust");

await testClient("Rust", {
  needs: [["cargo", "--version"]],
  build: async () => {
    const folder = await workFolder("rust");
    await run("cargo", ["build", "--locked", "--quiet"], {
      cwd: source,
      env: { LONGHAUL_DESCRIPTORS: descriptorSet, CARGO_TARGET_DIR: folder },
    });
    const program = join(folder, "debug", "longhaul-client");
    return (_, target) => printedSteps((options) => run(program, options), target);
  },
  greet: async (address) => run(join(await workFolder("rust"), "debug", "greeting"), [address]),
  protocols: ["tonic"],
  // tonic's own timer ends a call as CANCELLED.
  deadlineCode: 1,
});
