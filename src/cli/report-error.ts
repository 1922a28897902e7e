import { Code, ConnectError } from "@connectrpc/connect";
import { CommanderError } from "commander";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { ConfigError } from "../config.ts";
import { exitCodes } from "./exit-codes.ts";
import { plainText } from "./terminal-text.ts";

/** What is wrong with the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The server cannot be reached, or has no time. */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";

  constructor(url: string, cause: ConnectError) {
    super(`the server at ${url} is not available: ${describeError(cause)}`, { cause });
  }
}

/** Says on standard error what went wrong, in one line, and answers the exit code for it. */
export function reportError(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has said it already; help and version are no errors.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  process.stderr.write(`longhaul: ${describeError(error)}\n`);
  if (error instanceof ConfigError || error instanceof UsageError) {
    return exitCodes.usage;
  }
  return error instanceof UnreachableError ? exitCodes.unreachable : exitCodes.failed;
}

/** An error as one line: the server's message, its reason and the fields it found fault with. */
export function describeError(error: unknown): string {
  return plainText(describe(error));
}

function describe(error: unknown): string {
  if (error instanceof ConnectError) {
    const reason = error.findDetails(ErrorInfoSchema)[0]?.reason || codeName(error.code);
    const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
    const more = violations
      .map(({ field, description }) => `${field}: ${description}`)
      .filter((text) => !error.rawMessage.includes(text));
    return [`${error.rawMessage} (${reason})`, ...more].join("; ");
  }
  return error instanceof Error ? error.message : String(error);
}

/** "NOT_FOUND" for NotFound. */
function codeName(code: Code): string {
  return (Code[code] ?? String(code)).replaceAll(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
}
