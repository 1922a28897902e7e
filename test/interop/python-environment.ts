import { join } from "node:path";
import { descriptorSet, protoFiles, run, workFolder } from "./programs.ts";

/** Runs a Python program. */
export type RunPython = (...given: readonly string[]) => Promise<string>;

/** Makes a virtual environment with what the file of requirements names and the generated client. */
export async function pythonEnvironment(name: string, requirements: string): Promise<RunPython> {
  const folder = await workFolder(name);
  await run("python3", ["-m", "venv", join(folder, "venv")]);
  const python = await pythonIn(name);
  await python("-m", "pip", "install", "--quiet", "-r", requirements);
  const out = [`--descriptor_set_in=${descriptorSet}`, `--python_out=${folder}`, `--grpc_python_out=${folder}`];
  await python("-m", "grpc_tools.protoc", ...out, ...protoFiles);
  return python;
}

/** Runs programs in an environment that was made. */
export async function pythonIn(name: string): Promise<RunPython> {
  const { command, env } = await pythonOf(name);
  return (...given) => run(command, given, { env });
}

/** The interpreter of an environment, and what it has to be told. */
export async function pythonOf(name: string): Promise<{ command: string; env: Readonly<Record<string, string>> }> {
  const folder = await workFolder(name);
  return { command: join(folder, "venv", "bin", "python"), env: { PYTHONPATH: folder } };
}
