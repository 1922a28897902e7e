import { type Command, Option } from "commander";
import { installInterruptHandler } from "../cancellation/interrupt.ts";
import { describeConfig, resolveConfig } from "../config.ts";
import { settings } from "../settings.ts";
import type { GlobalOptions } from "./session.ts";
import { keepYoungGenerationSmall } from "./young-generation.ts";

/** What shells read as "ended by this signal", for those who do not wait for a clean stop. */
const exitCodes: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130, SIGTERM: 143 };

/** Adds `serve`, with a flag for every setting of a server. */
export function addServeCommand(program: Command): void {
  const command = program.command("serve").description("run a server: a host with --services, a gateway with routes");
  for (const [key, { kind, env, default: value, description }] of Object.entries(settings)) {
    if (key !== "server") {
      const about = `${description} (${env}; default ${value === "" ? "none" : value})`;
      // A switch without a value is on.
      command.addOption(
        kind === "switch"
          ? new Option(`--${kebabCase(key)} [value]`, about).preset("true")
          : new Option(`--${kebabCase(key)} <value>`, about),
      );
    }
  }
  command
    .option("--print-config", "print the resolved configuration and end")
    .action((options: Record<string, string | true>, self: Command) =>
      serve(options, self.optsWithGlobals<GlobalOptions>().config),
    );
}

async function serve(
  { printConfig, ...flags }: Record<string, string | true | undefined>,
  file: string | undefined,
): Promise<void> {
  const config = resolveConfig({
    flags: flags as Record<string, string>,
    ...(file !== undefined && { file }),
  });
  if (printConfig) {
    process.stdout.write(`${describeConfig(config)}\n`);
    return;
  }
  keepYoungGenerationSmall();
  const { startServer } = await import("../server.ts");
  const { createServerLog } = await import("../telemetry/server-log.ts");
  const log = createServerLog(config.logLevel);
  const server = await startServer(config, { log });
  let stopping = false;
  const stop = async (signal: NodeJS.Signals) => {
    if (stopping) {
      process.exit(exitCodes[signal]);
    }
    stopping = true;
    // Whoever presses Ctrl+C has no balancer.
    const drainGraceMs = signal === "SIGINT" ? 0 : config.drainGraceMs;
    log.info({ signal, drainGraceMs }, "stopping");
    const tooLong = setTimeout(
      () => {
        log.error("the store does not let this server stop in time");
        process.exit(1);
      },
      drainGraceMs + 2 * config.shutdownGraceMs,
    );
    await server.stop({ drainGraceMs });
    clearTimeout(tooLong);
    log.info("stopped");
    // A worker thread or a socket of the work may still hold the process.
    process.exit(0);
  };
  installInterruptHandler({ onFirst: (signal) => void stop(signal) });
  process.on("SIGTERM", (signal) => void stop(signal));
  // Whoever reads this may send a signal at once.
  const store = config.databaseUrl === "" ? config.dataDir : withoutCredentials(config.databaseUrl);
  const { url, adminUrl, operations } = server;
  log.info({ url, ...(adminUrl && { adminUrl }), types: operations.operationTypes, store }, "listening");
}

/** "postgres://host:5432/name", for logs. */
function withoutCredentials(databaseUrl: string): string {
  const { protocol, host, pathname } = new URL(databaseUrl);
  return `${protocol}//${host}${pathname}`;
}

function kebabCase(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
