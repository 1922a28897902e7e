import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { missing } from "./programs.ts";
import { expectNoFailedCall, type LoadProgram } from "./rolling-load.ts";
import { type ClientHabits, expectSteps, readSteps, type SeenSteps } from "./steps.ts";
import { plaintextTarget, secureTarget, type Target } from "./targets.ts";

/** A client that nobody here wrote the library of. */
export interface ForeignClient extends ClientHabits {
  /** The programs it needs, each with arguments that only ask for its version. */
  readonly needs: readonly (readonly [string, ...string[]])[];
  /** Downloads and compiles what is needed, and answers how to do the steps over one of the protocols. */
  readonly build: () => Promise<(protocol: string, target: Target) => Promise<SeenSteps>>;
  /** What it speaks. */
  readonly protocols: readonly string[];
  /** Runs the example of the page about clients, once it is built, against a server of examples/hello. */
  readonly greet?: (address: string) => Promise<string>;
  /** How it puts load on several servers, once it is built. Default: it does not. */
  readonly load?: () => Promise<LoadProgram>;
}

const helloServices = fileURLToPath(new URL("../../examples/hello/services.ts", import.meta.url));

/** The tests of a client in another language: all steps over each protocol it speaks. */
export async function testClient(name: string, client: ForeignClient): Promise<void> {
  const reason = await missing(...client.needs);
  if (reason !== undefined) {
    process.stderr.write(`interop: ${name} ${reason}\n`);
  }
  describe.skipIf(reason !== undefined)(name, () => {
    let takeSteps: Awaited<ReturnType<ForeignClient["build"]>>;
    beforeAll(async () => {
      takeSteps = await client.build();
    });
    test.each(client.protocols)("%s, plaintext", async (protocol) => {
      expectSteps(await takeSteps(protocol, await plaintextTarget()), client);
    });
    test.each(client.protocols)("%s, TLS and a token", async (protocol) => {
      expectSteps(await takeSteps(protocol, await secureTarget()), client);
    });
    const { greet, load } = client;
    if (greet) {
      test("the example of the page about clients", async () => {
        const { address } = await plaintextTarget({ services: helloServices });
        expect(await greet(address)).toBe("Hello, world!\n");
      });
    }
    if (load) {
      test("sees no failed call while two servers are restarted in turn, 50 times", async () => {
        await expectNoFailedCall(await load());
      });
    }
  });
}

/** The steps of a program that takes the target as options and prints what it saw. */
export async function printedSteps(
  program: (options: readonly string[]) => Promise<string>,
  { address, secure }: Target,
): Promise<SeenSteps> {
  const options = secure ? ["--ca", secure.caFile, "--token", secure.token] : [];
  return readSteps(await program(["--address", address, ...options]));
}
