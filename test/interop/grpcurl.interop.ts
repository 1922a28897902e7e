import { testClient } from "./client-tests.ts";
import { type CommandCall, takeSteps } from "./command-line-steps.ts";
import { descriptorSet, goProgram, run, workFolder } from "./programs.ts";

interface Detail {
  readonly "@type": string;
  readonly "@value": string;
}

await testClient("grpcurl", {
  needs: [["go", "version"]],
  build: async () => {
    const schema = await descriptorSet(await workFolder("grpcurl"));
    const program = await goProgram("github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4");
    return (_, { address, secure }) => {
      const security = secure
        ? ["-cacert", secure.caFile, "-rpc-header", `authorization: Bearer ${secure.token}`]
        : ["-plaintext"];
      const call: CommandCall = async (method, request, timeoutMs) => {
        const given = [...security, "-protoset", schema, "-format-error", "-d", JSON.stringify(request)];
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
  const { code, details } = JSON.parse(text.slice(text.indexOf("\n{")));
  return {
    code,
    details: details.map(({ "@type": type, "@value": value }: Detail) => ({ type: type.split("/").at(-1), value })),
  };
}
