import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport, type GrpcTransport } from "../../src/client/grpc-transport.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { type Created, recordsOf, type Told } from "./told.ts";

/** What clients of a load do. */
export interface LoadOptions {
  /** Servers that clients call, any of them for any call. */
  readonly urls: readonly string[];
  /** Types to create: those that are run again after a restart, and those that are not. */
  readonly operationTypes: readonly string[];
  /** File to which each run of the work writes a line. */
  readonly ledger: string;
  readonly told: Told;
  readonly random: () => number;
  readonly clients: number;
}

/** Clients that use the servers all the time. */
export interface Load {
  /** Calls that succeeded, by method. */
  readonly calls: Map<string, number>;
  /** Lets all calls end and no more begin. */
  stop(): Promise<void>;
  /** Calls any of the servers, with the clients' patience. Undefined when none has answered. */
  call<T>(name: string, call: (client: OperationsClient) => Promise<T>): Promise<T | undefined>;
  /** Closes the clients' connections. */
  close(): Promise<void>;
}

/** How long a client tries a call, in milliseconds: longer than any of the victims takes to come back. */
const patienceMs = 60_000;
const callTimeoutMs = 5_000;
/** The longest pause of a client between two calls, in milliseconds: what it creates has to be run. */
const longestPauseMs = 30;
/** Codes after which a call may be made again. */
const transient: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Canceled, Code.Aborted]);

/** Begins a load. */
export function startLoad({ urls, operationTypes, ledger, told, random, clients }: LoadOptions): Load {
  const transports = urls.map((url) =>
    createGrpcJsTransport({ baseUrl: url, initialReconnectBackoffMs: 20, maxReconnectBackoffMs: 100 }),
  );
  const all = transports.map((transport: GrpcTransport) => createClient(OperationsService, transport));
  const calls = new Map<string, number>();
  let stopping = false;

  async function call<T>(name: string, make: (client: OperationsClient) => Promise<T>): Promise<T | undefined> {
    const giveUpAtMs = performance.now() + patienceMs;
    for (;;) {
      const client = all[Math.floor(random() * all.length)] as OperationsClient;
      try {
        const answer = await make(client);
        calls.set(name, (calls.get(name) ?? 0) + 1);
        return answer;
      } catch (error) {
        const { code, message } = ConnectError.from(error);
        if (!transient.has(code) || performance.now() > giveUpAtMs) {
          told.broken.push(`${name}: ${message}`);
          return undefined;
        }
        await sleep(20 + random() * 60);
      }
    }
  }

  const options = () => ({ timeoutMs: callTimeoutMs });
  const pick = () => told.ids[Math.floor(random() * told.ids.length)];

  async function create(requestId: string): Promise<void> {
    const operationType = operationTypes[Math.floor(random() * operationTypes.length)] as string;
    const created: Created = { operationType, records: 1 + Math.floor(random() * 5), hold: random() < 0.1 };
    const parameters = { ...created, delayMs: Math.floor(random() * 40), ledger };
    const request = { operationType, requestId, metadata: { parameters } };
    const askedAtMs = performance.now();
    const answer = await call("CreateOperation", (client) => client.createOperation(request, options()));
    if (answer?.operation) {
      told.acknowledge(answer.operation, created, askedAtMs);
    }
  }

  async function read(operationId: string): Promise<void> {
    const askedAtMs = performance.now();
    const answer = await call("GetOperation", (client) => client.getOperation({ operationId }, options()));
    if (answer?.operation) {
      told.see(answer.operation, askedAtMs);
    }
  }

  async function wait(operationId: string): Promise<void> {
    const askedAtMs = performance.now();
    const request = { operationId, timeout: { seconds: 0n, nanos: 100_000_000 } };
    const answer = await call("WaitOperation", (client) => client.waitOperation(request, options()));
    if (answer?.operation) {
      told.see(answer.operation, askedAtMs);
    }
  }

  async function cancel(operationId: string): Promise<void> {
    const askedAtMs = performance.now();
    const request = { operationId, reason: "chance", force: random() < 0.2 };
    const answer = await call("CancelOperation", (client) => client.cancelOperation(request, options()));
    if (answer?.operation) {
      told.see(answer.operation, askedAtMs);
    }
  }

  async function readMetrics(operationId: string): Promise<void> {
    const cursor = told.cursorOf(operationId);
    const answer = await call("GetMetrics", (client) => client.getMetrics({ operationId, cursor }, options()));
    if (answer) {
      told.seeRecords(operationId, recordsOf(answer.metrics), cursor, answer.newCursor);
    }
  }

  async function list(): Promise<void> {
    const askedAtMs = performance.now();
    const answer = await call("ListOperations", (client) => client.listOperations({ pageSize: 20 }, options()));
    for (const operation of answer?.operations ?? []) {
      // What was stored and whose creation nobody was told of yet is in lists, too.
      if (told.created(operation.operationId)) {
        told.see(operation, askedAtMs);
      }
    }
  }

  async function use(name: string): Promise<void> {
    for (let turn = 0; !stopping; turn++) {
      const dice = random();
      const operationId = pick();
      if (dice < 0.35 || operationId === undefined) {
        await create(`${name}-${turn}`);
      } else if (dice < 0.65) {
        await read(operationId);
      } else if (dice < 0.72) {
        await cancel(operationId);
      } else if (dice < 0.9) {
        await readMetrics(operationId);
      } else if (dice < 0.97) {
        await wait(operationId);
      } else {
        await list();
      }
      await sleep(random() * longestPauseMs);
    }
  }

  const users = Promise.all(Array.from({ length: clients }, (_, index) => use(`client ${index}`)));
  return {
    calls,
    call,
    stop: async () => {
      stopping = true;
      await users;
    },
    close: async () => {
      for (const transport of transports) {
        transport.close();
      }
    },
  };
}
