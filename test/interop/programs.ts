import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

/** What a program is run with. */
export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes that are no failure. Default: 0. */
  readonly codes?: readonly number[];
}

/** Runs a program to its end and answers its standard output. Rejects with all it has written when it fails. */
export async function run(command: string, given: readonly string[], options: RunOptions = {}): Promise<string> {
  const { cwd = root, env = {}, codes = [0] } = options;
  const child = spawn(command, given, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let everything = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    everything += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    everything += text;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code === null || !codes.includes(code)) {
    throw new Error(`${command} ${given.join(" ")} ended with ${code}:\n${everything}`);
  }
  return output;
}

/** Why a language cannot be tried here; undefined when it can. */
export async function missing(...commands: readonly (readonly [string, ...string[]])[]): Promise<string | undefined> {
  for (const [command, ...given] of commands) {
    try {
      await run(command, given);
    } catch (error) {
      return `did not run: "${command}" cannot be used here (${String(error).split("\n")[0]})`;
    }
  }
  return undefined;
}

/** A folder for what is downloaded and built, kept from run to run and not part of the project. */
export async function workFolder(name: string): Promise<string> {
  const folder = join(root, "node_modules", ".cache", "longhaul-interop", name);
  await mkdir(folder, { recursive: true });
  return folder;
}

/** The protocol as a descriptor set, for generators of every language, as it is published. `npm ci` builds it. */
export const descriptorSet = join(root, "dist", "longhaul.binpb");

/** The files of the protocol that clients are generated from. */
export const protoFiles = ["metrics", "operation", "operations_service"].map((name) => `longhaul/v1/${name}.proto`);

/** Installs a Go program at a version and answers its path. */
export async function goProgram(target: string): Promise<string> {
  const folder = await workFolder("bin");
  await run("go", ["install", target], { env: { GOBIN: folder } });
  return join(folder, (target.split("@")[0] ?? "").split("/").at(-1) ?? "");
}
