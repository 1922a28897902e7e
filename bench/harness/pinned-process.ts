import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { cores } from "./cores.ts";
import { temporaryDirectory, undoAtEnd } from "./leftovers.ts";

/** A process of the suite on a core of its own. */
export interface PinnedProcess {
  readonly pid: number;
  /** What it has written so far, to standard output and error. */
  output(): string;
  /** Whether it has ended. */
  hasEnded(): boolean;
  /** Asks what servers/control.ts answers. */
  ask<T>(question: string): Promise<T>;
  /** Resolves with what the process announces. Throws when it ends before, or says nothing for 30 s. */
  announced(): Promise<Announcement>;
  /** Ends it by SIGKILL; resolves when it has ended. Safe to repeat. */
  stop(): Promise<void>;
}

/** What the suite's own servers tell when they are up. */
export interface Announcement {
  readonly url: string;
  /** The job that can be polled there, where the server has made one. */
  readonly jobId?: string;
}

/** How a process is run. */
export interface ProcessOptions {
  /** For `taskset -c`. Default: the server's core. */
  readonly core?: string;
  /** Beside PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>;
}

const controlModule = new URL("../servers/control.ts", import.meta.url).href;
const upWithinMs = 30_000;

/** Runs a module in Node.js, with servers/control.ts in it. */
export function startNode(
  module: string,
  args: readonly string[],
  { nodeFlags = [], ...options }: ProcessOptions & { readonly nodeFlags?: readonly string[] } = {},
): PinnedProcess {
  const flags = ["--import", controlModule, ...nodeFlags];
  return startProcess(process.execPath, [...flags, module, ...args], { ...options, hasControl: true });
}

/** Runs a program. It ends with the suite. */
export function startProcess(
  program: string,
  args: readonly string[],
  { core = cores.server, env = {}, hasControl = false }: ProcessOptions & { readonly hasControl?: boolean } = {},
): PinnedProcess {
  const logFile = `${temporaryDirectory()}/output`;
  const log = openSync(logFile, "w");
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn("taskset", ["-c", core, program, ...args], {
    stdio: ["ignore", log, log, ...(hasControl ? (["ipc"] as const) : [])],
    env: { PATH, HOME, ...env },
  });
  closeSync(log);
  const output = () => readFileSync(logFile, "utf8");
  const undo = undoAtEnd(() => child.kill("SIGKILL"));
  const ended = once(child, "exit").then(undo, undo);
  const announced = announcementOf(child);
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  let questions = 0;
  return {
    pid: child.pid ?? 0,
    output,
    hasEnded,
    announced: () =>
      within(upWithinMs, Promise.race([announced, ended.then(() => undefined)])).then((server) => {
        if (server === undefined) {
          throw new Error(`${program} ${args.join(" ")} is not up:\n${output()}`);
        }
        return server;
      }),
    ask: async <T>(question: string) => {
      const id = ++questions;
      const { promise, resolve } = Promise.withResolvers<{ readonly answer: T }>();
      const hear = (message: { id?: number; answer: T }) => {
        if (message.id === id) {
          resolve(message);
        }
      };
      child.on("message", hear);
      child.send({ id, question });
      const heard = await Promise.race([promise, ended.then(() => undefined)]);
      child.off("message", hear);
      if (heard === undefined) {
        throw new Error(`the process ended instead of answering ${question}`);
      }
      return heard.answer;
    },
    stop: async () => {
      undo();
      await ended;
    },
  };
}

function announcementOf(child: ChildProcess): Promise<Announcement> {
  return new Promise((resolve) => {
    child.on("message", (message: { announced?: Announcement }) => {
      if (message.announced) {
        resolve(message.announced);
      }
    });
  });
}

/** The promise's value, or undefined when that takes too long. */
async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T | undefined> {
  const { promise: tooLong, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, milliseconds, undefined);
  try {
    return await Promise.race([promise, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}
