import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { freePort } from "../../test/support/free-port.ts";
import { type PinnedProcess, startProcess } from "../harness/pinned-process.ts";
import { framed, type Target } from "../harness/target.ts";

/** How Temporal's command line, which has the dev server in it, is built from the Go proxy. */
export const temporalInstall = "go install github.com/temporalio/cli/cmd/temporal@v1.5.1";

/** A dev server with a workflow that runs. */
export interface TemporalServer {
  readonly process: PinnedProcess;
  /** DescribeWorkflowExecution of the workflow, over gRPC. */
  readonly poll: Target<string>;
}

/** The id of the workflow that is polled. */
export const workflowId = "op_training_20250120_093000_polled";

const namespace = "default";
const upWithinMs = 60_000;
/** The dev server's own limits are below what is measured. */
const limits = ["frontend.rps", "frontend.namespaceRPS", "frontend.globalNamespaceRPS", "history.rps", "matching.rps"];

/** Temporal's program; undefined where it is not installed. */
export function temporalProgram(): string | undefined {
  const goPath = (spawnSync("go", ["env", "GOPATH"], { encoding: "utf8" }).stdout ?? "").trim();
  return [...(process.env["PATH"] ?? "").split(delimiter), join(goPath, "bin")]
    .map((directory) => join(directory, "temporal"))
    .find(existsSync);
}

/** "1.29.1", of the server. */
export function temporalVersion(program: string): string {
  return /Server ([\d.]+)/.exec(spawnSync(program, ["--version"], { encoding: "utf8" }).stdout ?? "")?.[1] ?? "unknown";
}

/** Starts the dev server, with its SQLite in memory, and a workflow in it that no worker takes. */
export async function startTemporal(program: string): Promise<TemporalServer> {
  const port = await freePort();
  const server = startProcess(program, [
    ...["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", `${port}`, "--log-level", "error"],
    ...limits.flatMap((name) => ["--dynamic-config-value", `${name}=1000000`]),
  ]);
  const start = ["workflow", "start", "--address", `127.0.0.1:${port}`, "--type", "Train", "--task-queue", "training"];
  const deadline = Date.now() + upWithinMs;
  for (;;) {
    try {
      await promisify(execFile)(program, [...start, "--workflow-id", workflowId]);
      break;
    } catch (error) {
      if (server.hasEnded() || Date.now() > deadline) {
        throw new Error(`Temporal starts no workflow: ${String(error)}\n${server.output()}`);
      }
      await delay(250);
    }
  }
  return { process: server, poll: describeWorkflow(port) };
}

/** A DescribeWorkflowExecutionRequest: the namespace is field 1, and the execution with its workflow_id field 2. */
function describeWorkflow(port: number): Target<string> {
  const request = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string(namespace)
    .tag(2, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.LengthDelimited)
    .string(workflowId)
    .join()
    .finish();
  return {
    url: `http://127.0.0.1:${port}/temporal.api.workflowservice.v1.WorkflowService/DescribeWorkflowExecution`,
    headers: { "content-type": "application/grpc", te: "trailers" },
    body: framed(request),
    decode: (body) => new TextDecoder().decode(body),
  };
}
