import type { DescMethod } from "@bufbuild/protobuf";
import type { LonghaulProcess } from "./longhaul-process.ts";

/** Calls of a method that a server has answered, with one code ("OK") or with any. */
export async function callsAnswered(server: LonghaulProcess, method: DescMethod, code?: string): Promise<number> {
  const lines = await series(server, "longhaul_rpc_requests_total", methodLabel(method));
  return sum(lines.filter((line) => code === undefined || line.includes(`code="${code}"`)));
}

/** Calls of a method that are open at a server. */
export async function callsOpen(server: LonghaulProcess, method: DescMethod): Promise<number> {
  return sum(await series(server, "longhaul_rpc_requests_in_flight", methodLabel(method)));
}

/** Share of the pulls of a gateway from a host that gave it no state, 0 to 1. */
export async function failedPulls(gateway: LonghaulProcess, host: LonghaulProcess): Promise<number> {
  const lines = await series(gateway, "longhaul_pulls_total", `host="${host.url}"`);
  return sum(lines.filter((line) => !line.includes('outcome="observed"'))) / sum(lines);
}

function methodLabel({ parent, name }: DescMethod): string {
  return `method="${parent.typeName}/${name}"`;
}

/** The lines of a metric's series that have a label. */
async function series({ metricsUrl }: LonghaulProcess, metric: string, label: string): Promise<string[]> {
  const text = await (await fetch(metricsUrl)).text();
  return text.split("\n").filter((line) => line.startsWith(`${metric}{`) && line.includes(label));
}

function sum(lines: readonly string[]): number {
  return lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);
}
