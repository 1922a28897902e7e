/**
 * A process that starts a server and never stops it. It prints the server's directory and processes as JSON. Argument 1
 * says what then becomes of it: "waits" to be killed, "freezes" the server before that, or "ends".
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { processTree } from "./postgres-processes.ts";
import { startPostgres } from "./postgres-server.ts";

const [, , then] = process.argv;
const { directory, freeze } = await startPostgres();
const postmaster = Number.parseInt(readFileSync(join(directory, "data/postmaster.pid"), "utf8"), 10);
const processes = processTree(postmaster);
if (then === "freezes") {
  freeze();
}
if (then !== "ends") {
  setInterval(() => {}, 60_000);
}
process.stdout.write(`${JSON.stringify({ directory, processes })}\n`);
