import { testClient } from "./client-tests.ts";
import { type CommandCall, takeSteps } from "./command-line-steps.ts";
import { descriptorSet, run } from "./programs.ts";

const service = "longhaul.v1.OperationsService";
/** Connect's names of the codes that the steps meet. */
const codes: Readonly<Record<string, number>> = { invalid_argument: 3, deadline_exceeded: 4, not_found: 5 };

await testClient("buf curl", {
  needs: [["buf", "--version"]],
  build: async () => {
    return (protocol, { address, secure }) => {
      const call: CommandCall = async (method, request, timeoutMs) => {
        const given = ["curl", "--schema", descriptorSet, "--protocol", protocol, "-d", JSON.stringify(request)];
        if (secure) {
          given.push("--cacert", secure.caFile, "-H", `authorization: Bearer ${secure.token}`);
        } else if (protocol === "grpc") {
          given.push("--http2-prior-knowledge");
        }
        if (timeoutMs !== undefined) {
          given.push("--timeout", `${timeoutMs}ms`);
        }
        const program = run("buf", [...given, `${secure ? "https" : "http"}://${address}/${service}/${method}`]);
        try {
          return { message: JSON.parse(await program) };
        } catch (error) {
          return refusalOf(String(error));
        }
      };
      return takeSteps(call);
    };
  },
  protocols: ["connect", "grpc", "grpcweb"],
});

/** What it printed about a call that failed: the error as JSON, or a line about its own deadline. */
function refusalOf(text: string) {
  if (text.includes("deadline exceeded")) {
    return { code: 4 };
  }
  const { code, details } = JSON.parse(text.slice(text.indexOf("\n{")));
  return { code: codes[code] ?? Number.NaN, details };
}
