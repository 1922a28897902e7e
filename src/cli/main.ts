#!/usr/bin/env node
// Nothing is imported before the version is known to do: older versions would fail with a riddle.
const needed = 24;
if (Number.parseInt(process.versions.node, 10) < needed) {
  process.stderr.write(`longhaul needs Node.js ${needed} or later; this is ${process.versions.node}\n`);
  process.exitCode = 2;
} else {
  const { keepCompiledCode } = await import("./compile-cache.ts");
  keepCompiledCode();
  const { runCli } = await import("./program.ts");
  await runCli(process.argv);
}
