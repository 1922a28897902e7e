import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { OperationsService } from "../gen/longhaul/v1/operations_service_pb.ts";
import { freePort } from "../test/support/free-port.ts";
import { accepts } from "./harness/accepts.ts";
import { builtCommandLine } from "./harness/built-package.ts";
import { cores } from "./harness/cores.ts";
import { temporaryDirectory } from "./harness/leftovers.ts";
import { startProcess } from "./harness/pinned-process.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { ratios, spread } from "./harness/statistics.ts";
import { callTarget, methodTarget } from "./harness/target.ts";

const question = "From the start of the process";
const floor = "node -e 0, to its end";

/** How long the built server takes from its start, with an empty SQLite store, to its first answer. */
export async function benchStart({ quick }: BenchOptions): Promise<readonly Row[]> {
  const starts: number[] = [];
  const floors: number[] = [];
  await startToAnswer();
  for (let run = 0; run < (quick ? 5 : 15); run++) {
    starts.push(await startToAnswer());
    const startedMs = performance.now();
    execFileSync("taskset", ["-c", cores.server, process.execPath, "-e", "0"]);
    floors.push(performance.now() - startedMs);
  }
  return [
    { question, subject: floor, unit: "ms", value: spread(floors) },
    {
      question,
      subject: "longhaul serve, to its first answered call",
      unit: "ms",
      value: spread(starts),
      bar: { atMost: 400 },
      ratios: [{ to: floor, of: spread(ratios(starts, floors)) }],
    },
  ];
}

/** Milliseconds to the answer of a call that reads the store. */
async function startToAnswer(): Promise<number> {
  const port = await freePort();
  const startedMs = performance.now();
  const flags = ["--port", `${port}`, "--data-dir", temporaryDirectory()];
  const server = startProcess(process.execPath, [builtCommandLine(), "serve", ...flags]);
  while (!(await accepts(port))) {
    if (server.hasEnded()) {
      throw new Error(`the server has ended:\n${server.output()}`);
    }
    await delay(1);
  }
  const { message } = await callTarget(
    methodTarget({
      serverUrl: `http://127.0.0.1:${port}`,
      protocol: "grpc",
      method: OperationsService.method.listOperations,
      request: {},
    }),
  );
  const milliseconds = performance.now() - startedMs;
  await server.stop();
  if (message.operations.length !== 0) {
    throw new Error("an empty store lists operations");
  }
  return milliseconds;
}
