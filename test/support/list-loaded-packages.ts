import { registerHooks } from "node:module";
import { testConfig } from "./test-config.ts";

/**
 * Starts and stops a server and prints which packages that has loaded, as JSON. Argument 1 is a directory for its data;
 * argument 2, if there is one, the endpoint to which it exports traces, and then it serves metrics, too.
 */
const [dataDir = "", endpoint] = process.argv.slice(2);
const loaded = new Set<string>();
registerHooks({
  resolve(specifier, context, nextResolve) {
    const name = /^(@[^/]+\/)?[^./:#][^/:]*(?=\/|$)/.exec(specifier)?.[0];
    if (name && !specifier.startsWith("node:")) {
      loaded.add(name);
    }
    return nextResolve(specifier, context);
  },
});
const { startServer } = await import("../../src/server.ts");
const watched = endpoint === undefined ? {} : { adminPort: "0", otel: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } };
const server = await startServer(testConfig(dataDir, watched));
await server.stop();
// An export that finds nobody would hold the process for its timeout.
process.stdout.write(JSON.stringify([...loaded].sort()), () => process.exit(0));
