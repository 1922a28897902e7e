import { createRegistry, fromJson, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { testClient } from "./client-tests.ts";
import { type CommandCall, takeSteps } from "./command-line-steps.ts";
import { goProgram, run } from "./programs.ts";

const detailTypes = createRegistry(file_google_rpc_error_details);

// It learns the protocol from the server's reflection.
await testClient("grpcurl", {
  needs: [["go", "version"]],
  build: async () => {
    const program = await goProgram("github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4");
    return (_, { address, secure }) => {
      const security = secure
        ? ["-cacert", secure.caFile, "-H", `authorization: Bearer ${secure.token}`]
        : ["-plaintext"];
      const call: CommandCall = async (method, request, timeoutMs) => {
        const given = [...security, "-format-error", "-d", JSON.stringify(request)];
        if (timeoutMs !== undefined) {
          given.push("-max-time", String(timeoutMs / 1_000));
        }
        try {
          const answer = await run(program, [...given, address, `longhaul.v1.OperationsService/${method}`]);
          return { message: JSON.parse(answer) };
        } catch (error) {
          return refusalOf(String(error));
        }
      };
      return takeSteps(call);
    };
  },
  protocols: ["grpc"],
});

/** What it printed about a call that failed: the status as JSON, or a line about its own deadline. */
function refusalOf(text: string) {
  if (text.includes("deadline exceeded")) {
    return { code: 4 };
  }
  const { code, details } = JSON.parse(text.slice(text.indexOf("\n{"))) as { code: number; details: JsonObject[] };
  return { code, details: details.map(encoded) };
}

function encoded({ "@type": url, ...detail }: JsonObject): { type: string; value: string } {
  const type = String(url).split("/").at(-1) ?? "";
  const schema = detailTypes.getMessage(type);
  if (!schema) {
    throw new Error(`grpcurl has not learnt ${type}`);
  }
  return { type, value: Buffer.from(toBinary(schema, fromJson(schema, detail))).toString("base64") };
}
