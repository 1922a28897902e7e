import type { Config } from "../../src/config.ts";
import { startServer } from "../../src/server.ts";

/** A server as a process of its own: argument 1 is its configuration as JSON; it prints its URL and ends on SIGTERM. */
const server = await startServer(JSON.parse(process.argv[2] ?? "{}") as Config);
process.once("SIGTERM", () => void server.stop());
process.stdout.write(`${JSON.stringify({ url: server.url })}\n`);
