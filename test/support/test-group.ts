import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { CancellationCoordinator } from "../../src/cancellation/cancellation-coordinator.ts";
import { CallError } from "../../src/operations/errors.ts";
import type { OperationExecutor } from "../../src/operations/operation-executor.ts";
import type { CancelDelivery, OperationSource, PullResult } from "../../src/operations/operation-source.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { OperationsService } from "../../src/operations/operations-service.ts";
import type { Standing } from "../../src/operations/standing.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { callerRunsTypes, clockBeginsMs, testRegistryOptions } from "./test-registry.ts";

/** One of several registries over one store, in this process. */
export interface TestMember {
  readonly operations: OperationsService;
  readonly coordinator: CancellationCoordinator;
  readonly standing: ScriptedStanding;
  /** Pulls that others have made from this one. */
  readonly pulls: string[];
}

/** A standing that a test sets. */
export interface ScriptedStanding extends Standing {
  instanceId: string;
  isSure: boolean;
  /** Others get no answer from it. */
  isUnreachable: boolean;
  /** What asking the store finds. Default: nothing new. */
  onConfirm: () => void;
}

/** Registries over one SQLite store, with a clock that a test moves and connections that it cuts. */
export interface TestGroup {
  readonly store: OperationStore;
  readonly clock: { nowMs: number };
  readonly members: readonly TestMember[];
  /** Strikes a member off, as if its lease had run out. */
  strikeOff(instanceId: string): void;
}

/** What a test says of its group. */
export interface TestGroupOptions {
  readonly size?: number;
  readonly executors?: (index: number) => Readonly<Record<string, OperationExecutor>>;
  readonly executorForHost?: (url: string) => OperationExecutor;
  /** Puts something in front of the store, for one of the members. */
  readonly wrapStore?: (store: OperationStore, index: number) => OperationStore;
}

/** Starts registries named "a", "b", "c" over one store; they are stopped when the running test ends. */
export async function startTestGroup(options: TestGroupOptions = {}): Promise<TestGroup> {
  const { size = 2, wrapStore = (store) => store } = options;
  const path = join(await temporaryDirectory(), "longhaul.sqlite");
  const store = await openSqliteStore(path);
  const database = new DatabaseSync(path);
  onTestFinished(async () => {
    database.close();
    await store.close();
  });
  const clock = { nowMs: clockBeginsMs };
  const members: TestMember[] = [];
  for (let index = 0; index < size; index++) {
    const instanceId = "abcdefgh"[index] ?? "";
    database.prepare("insert into instances values (?, '', '[]', 0)").run(instanceId);
    const executors = new Map(Object.entries(options.executors?.(index) ?? callerRunsTypes));
    const coordinator = new CancellationCoordinator();
    const standing = scriptedStanding(instanceId, members);
    const operations = new OperationsService({
      store: wrapStore(store, index),
      standing,
      coordinator,
      executors,
      executorForHost: options.executorForHost ?? (() => callerRunsTypes.training),
      log: pino({ level: "silent" }),
      options: { ...testRegistryOptions, now: () => clock.nowMs },
    });
    members.push({ operations, coordinator, standing, pulls: [] });
    onTestFinished(async () => {
      await operations.close();
      coordinator.close();
    });
    await operations.start();
  }
  const strikeOff = (instanceId: string) => {
    database.prepare("delete from instances where instance_id = ?").run(instanceId);
  };
  return { store, clock, members, strikeOff };
}

function scriptedStanding(instanceId: string, members: readonly TestMember[]): ScriptedStanding {
  const standing: ScriptedStanding = {
    instanceId,
    isSure: true,
    isUnreachable: false,
    isFirst: true,
    isShared: true,
    otherTypes: [],
    onConfirm: () => {},
    confirm: async () => standing.onConfirm(),
    peer: (other) => {
      const member = members.find((one) => one.standing.instanceId === other);
      return member && { url: `http://${other}.test:1`, source: (operationId) => peerSource(member, operationId) };
    },
  };
  return standing;
}

/** What a connection to another server does, without the connection. */
function peerSource({ operations, standing, pulls }: TestMember, operationId: string): OperationSource {
  const { instanceId } = standing;
  const unreachable = { outcome: "unreachable", reason: `server ${instanceId} does not answer` } as const;
  const gone = { outcome: "gone", reason: `server ${instanceId} does not know the operation` } as const;
  return {
    host: `http://${instanceId}.test:1`,
    pull: async ({ maxStalenessMs }): Promise<PullResult> => {
      pulls.push(operationId);
      if (standing.isUnreachable) {
        return unreachable;
      }
      if ((await operations.ownedOf([operationId], instanceId)).length === 0) {
        return gone;
      }
      const info = await operations.getOperation(operationId, maxStalenessMs);
      return { outcome: "observed", info, records: [], hasMore: false };
    },
    cancel: async ({ reason, force }): Promise<CancelDelivery> => {
      if (standing.isUnreachable) {
        return unreachable;
      }
      if ((await operations.ownedOf([operationId], instanceId)).length === 0) {
        return gone;
      }
      await operations.cancelOperation(operationId, reason, { force });
      return { outcome: "delivered" };
    },
    close: () => {},
  };
}

/** The code a call is refused with; undefined when it is not. */
export async function refusal(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return error instanceof CallError ? error.reason : String(error);
  }
}
