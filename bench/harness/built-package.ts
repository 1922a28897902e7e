import { spawnSync } from "node:child_process";
import { existsSync, globSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../..", import.meta.url);
const commandLine = fileURLToPath(new URL("dist/src/cli/main.js", root));

/**
 * The command line of the package as users install it. Runs `npm run build` first when dist/ is not there or is older
 * than a source file.
 */
export function builtCommandLine(): string {
  const newest = Math.max(
    ...globSync("{src,gen}/**/*.ts", { cwd: root }).map((path) => statSync(new URL(path, root)).mtimeMs),
  );
  if (!existsSync(commandLine) || statSync(commandLine).mtimeMs < newest) {
    const { status, stdout, stderr } = spawnSync("npm", ["run", "--silent", "build"], { cwd: root, encoding: "utf8" });
    if (status !== 0) {
      throw new Error(`the build fails:\n${stdout}${stderr}`);
    }
  }
  return commandLine;
}
