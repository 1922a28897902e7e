import { join } from "node:path";
import { printedSteps, testClient } from "./client-tests.ts";
import { pythonEnvironment, pythonIn, pythonOf } from "./python-environment.ts";

const source = join(import.meta.dirname, "python");
const client = join(source, "client.py");

await testClient("Python", {
  needs: [["python3", "-m", "venv", "--help"]],
  build: async () => {
    const python = await pythonEnvironment("python", join(source, "requirements.txt"));
    return (_, target) => printedSteps((options) => python(client, ...options), target);
  },
  greet: async (address) => (await pythonIn("python"))(join(source, "greeting.py"), address),
  load: async () => ({ ...(await pythonOf("python")), given: [client, "--load"] }),
  protocols: ["grpcio"],
});
