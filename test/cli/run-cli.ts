import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** What a command left behind. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The lines of standard output as JSON. */
  readonly json: () => Record<string, unknown>[];
}

/** A command that is running. */
export interface CliProcess {
  /** Resolves once the command has written the text, on standard output or standard error. */
  said(text: string): Promise<void>;
  /** The first line that has the text in it. */
  line(text: string): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** Ends its standard output as a reader that has seen enough. */
  closeStdout(): void;
  readonly result: Promise<CliResult>;
}

/** Starts the real command line as a process, with nothing of longhaul's in its environment but what is given. */
export function startCli(args: readonly string[], env: Record<string, string> = {}): CliProcess {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(LONGHAUL_|USE_.*_HOST_SERVICE$)/.test(name)),
  );
  const child = spawn(process.execPath, ["--conditions=source", main, ...args], {
    // Nothing is left in the home directory of who runs the tests.
    env: { ...inherited, NODE_DISABLE_COMPILE_CACHE: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = once(child, "close");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await closed;
  });
  let output = "";
  const written = new EventEmitter();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
      written.emit("more");
    });
  }
  const until = async <T>(what: string, look: () => T | undefined): Promise<T> => {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      const ended = await Promise.race([once(written, "more").then(() => false), closed.then(() => true)]);
      if (ended) throw new Error(`the command ended without ${JSON.stringify(what)}: ${output}`);
    }
  };
  const streams = Promise.all([text(child.stdout).catch(() => ""), text(child.stderr)]);
  const finish = async (): Promise<CliResult> => {
    const [[stdout, stderr], [code]] = await Promise.all([streams, closed]);
    const json = () =>
      stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    return { code: code as number | null, stdout, stderr, json };
  };
  return {
    said: async (wanted) => {
      await until(wanted, () => output.includes(wanted) || undefined);
    },
    line: (wanted) =>
      until(wanted, () =>
        output
          .split("\n")
          .slice(0, -1)
          .find((line) => line.includes(wanted)),
      ),
    kill: (signal) => {
      child.kill(signal);
    },
    closeStdout: () => {
      child.stdout.destroy();
    },
    result: finish(),
  };
}

/** Runs a command to its end. */
export function runCli(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
  return startCli(args, env).result;
}
