import { Code, ConnectError } from "@connectrpc/connect";
import { CommanderError } from "commander";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { isUnreachable } from "../client/retry.ts";
import { ConfigError } from "../config.ts";
import { exitCodes } from "./exit-codes.ts";

/** What is wrong with the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Says on standard error what went wrong, in one line, and answers the exit code for it. */
export function reportError(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has said it already; help and version are no errors.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  process.stderr.write(`longhaul: ${describe(error)}\n`);
  if (error instanceof ConfigError || error instanceof UsageError) {
    return exitCodes.usage;
  }
  return error instanceof ConnectError && isUnreachable(error) ? exitCodes.unreachable : exitCodes.failed;
}

function describe(error: unknown): string {
  if (error instanceof ConnectError) {
    const reason = error.findDetails(ErrorInfoSchema)[0]?.reason ?? Code[error.code];
    const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
    const more = violations
      .map(({ field, description }) => `${field}: ${description}`)
      .filter((text) => !error.rawMessage.includes(text));
    return [`${error.rawMessage} (${reason})`, ...more].join("; ");
  }
  return error instanceof Error ? error.message : String(error);
}
