import type { Any } from "@bufbuild/protobuf/wkt";
import { BridgeSource } from "../operations/bridge-source.ts";
import type { OperationRun } from "../operations/operation-executor.ts";
import { ProgressBridge } from "../progress/progress-bridge.ts";
import { createContext } from "./create-context.ts";
import { drainWhenCrowded, type LocalRun, operationOutcome, totalStepsOf } from "./local-run.ts";
import type { OperationFunc } from "./operation-context.ts";
import { runWork } from "./run-outcome.ts";

/** Runs an operation as a function of this process, from its start to its stored end. */
export async function runFunction(run: LocalRun, operationFunc: OperationFunc): Promise<void> {
  const { stored, control, log } = run;
  const { operationId } = stored.info;
  const begun = await start(run);
  if (!begun) {
    return;
  }
  let result: Any | undefined;
  const context = createContext({
    request: stored.request,
    attempt: begun.attempt,
    totalSteps: totalStepsOf(run),
    token: control.tokenFor(operationId),
    writer: begun.bridge,
    setResult: (value) => {
      result = value;
    },
  });
  const ended = new AbortController();
  void drainWhenCrowded(run, begun.bridge, ended.signal);
  const outcome = await runWork(operationFunc, context);
  ended.abort();
  if (outcome.ended === "threw") {
    log.warn({ operationId, stack: outcome.stack }, `operation failed: ${outcome.message}`);
  }
  await control.finish(operationId, operationOutcome(outcome, result), begun.attempt);
}

async function start({ stored, control }: LocalRun): Promise<{ bridge: ProgressBridge; attempt: number } | undefined> {
  const { operationId, operationType } = stored.info;
  let begun: { bridge: ProgressBridge; attempt: number } | undefined;
  const createSource = ({ attempt, cursor }: OperationRun) => {
    const bridge = new ProgressBridge({ operationType, attempt, cursor });
    begun = { bridge, attempt };
    // The function holds the token itself: there is nobody else to tell, and no way to cut it off.
    return new BridgeSource({ attempt, bridge, writer: bridge, cancel: () => {} });
  };
  return (await control.start(operationId, createSource)) ? begun : undefined;
}
