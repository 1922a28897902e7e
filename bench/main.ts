import { cpus } from "node:os";
import { benchBridge } from "./bridge.ts";
import { benchGateway } from "./gateway.ts";
import { benchInterceptors } from "./interceptors.ts";
import { benchMetricsTail } from "./metrics.ts";
import { benchStore } from "./store.ts";

// Prints what the hot paths cost on this machine, measured in this run. Ratios carry over to other machines, single
// figures do not.

function row(name: string, value: number, unit: string): void {
  const digits = value >= 100 ? 0 : 2;
  process.stdout.write(`${name.padEnd(64)} ${value.toFixed(digits).padStart(10)} ${unit}\n`);
}

process.stdout.write(`Node.js ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}\n\n`);
for (const { name, nsPerOperation } of benchBridge()) {
  row(name, nsPerOperation, "ns");
}
for (const { name, perSecond } of await benchStore()) {
  row(name, perSecond, "per s");
}
const tails = await benchMetricsTail();
for (const { name, microseconds } of tails) {
  row(name, microseconds, "µs");
}
const [small, large] = tails;
if (small && large) {
  row("  ratio", large.microseconds / small.microseconds, "");
}
const { cachedGetsPerSecond, hitMicroseconds, missMicroseconds } = await benchGateway();
row("Get from the registry's cache, in the process", cachedGetsPerSecond, "per s");
row("gRPC Get at a gateway, hit (client in the same process)", hitMicroseconds, "µs");
row("gRPC Get at a gateway, miss (host in the same process, too)", missMicroseconds, "µs");
row("  ratio", missMicroseconds / hitMicroseconds, "");
const { callMicroseconds, interceptorMicroseconds } = await benchInterceptors();
row("CPU of a gRPC Get from the cache, in the server", callMicroseconds, "µs");
row("CPU of all interceptors: sight, errors, access, limit, rules", interceptorMicroseconds, "µs");
row("  ratio", interceptorMicroseconds / callMicroseconds, "");
