import { Command } from "commander";
import { addMetricsCommand } from "./metrics-command.ts";
import { addOperationCommands } from "./operation-commands.ts";
import { reportError } from "./report-error.ts";
import { addServeCommand } from "./serve-command.ts";
import { addWatchCommands } from "./watch-commands.ts";

/** Runs the command line and sets the process's exit code (see exit-codes.ts). */
export async function runCli(argv: readonly string[]): Promise<void> {
  // A reader that has seen enough, such as head, is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") {
      process.exit(0);
    }
    throw error;
  });
  const program = new Command("longhaul")
    .description("Registry and orchestrator of long-running operations")
    .option("--server <url>", "server to call (LONGHAUL_SERVER; default http://127.0.0.1:50051)")
    .option("--json", "write JSON lines, also on a terminal")
    .option("--config <file>", "JSON file of settings (LONGHAUL_CONFIG_FILE)")
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  addServeCommand(program);
  addWatchCommands(program);
  addOperationCommands(program);
  addMetricsCommand(program);
  for (const command of program.commands) {
    command.exitOverride();
  }
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    process.exitCode = reportError(error);
  }
}
