import { spawn } from "node:child_process";
import { expect, onTestFinished } from "vitest";
import { startRollingServers } from "../support/rolling-restart.ts";

/** A program that puts load on servers until its standard input ends, and prints what it has seen then. */
export interface LoadProgram {
  readonly command: string;
  /** What is in front of the addresses. */
  readonly given: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const restarts = 50;

/** Restarts two servers in turn under the load of a program, whose calls must all be answered. */
export async function expectNoFailedCall({ command, given, env = {} }: LoadProgram): Promise<void> {
  const servers = await startRollingServers();
  const addresses = servers.ports.map((port) => `127.0.0.1:${port}`).join(",");
  const program = spawn(command, [...given, addresses], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  onTestFinished(() => void program.kill("SIGKILL"));
  const printed = program.stdout.toArray();
  for (let restart = 1; restart <= restarts; restart++) {
    await servers.restart();
  }
  program.stdin.end();
  const { calls, failed } = JSON.parse(Buffer.concat(await printed).toString());
  process.stdout.write(`rolling restart: ${calls} calls, ${failed.length} failed\n`);
  expect(failed).toEqual([]);
  expect(calls).toBeGreaterThan(restarts);
}
