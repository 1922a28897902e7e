import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { rolldown } from "rolldown";

/**
 * Makes the package's code, in the folder that is named and emptied first: few files instead of the thousand modules of
 * `src/` and of what it imports, because to find and load each of them is most of what a start costs.
 *
 * - src/index.js, src/cli/main.js and src/chunks/*-entry.js are what is started or imported from outside. They share all
 *   else, so that an orchestrator which imports the package is one of the server that serves it.
 * - THIRD-PARTY-LICENSES.txt has the licences of the packages whose code is in there.
 */
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  throw new Error("usage: bundle.ts FOLDER");
}
rmSync(folder, { recursive: true, force: true });
// The first modules of threads, beside the chunks that start them: who starts one looks for it in its own folder.
const threads = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith("-entry.ts"))
  .map((path) => join("src", path));
const bundle = await rolldown({
  platform: "node",
  input: {
    index: "src/index.ts",
    "cli/main": "src/cli/main.ts",
    ...Object.fromEntries(threads.map((path) => [`chunks/${basename(path, ".ts")}`, path])),
  },
});
const { output } = await bundle.write({
  dir: join(folder, "src"),
  entryFileNames: "[name].js",
  chunkFileNames: "chunks/[name]-[hash].js",
});
const modules = output.flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
const packages = new Set(modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []));
const byLicence = Map.groupBy([...packages].sort(), licenceText);
writeFileSync(
  join(folder, "THIRD-PARTY-LICENSES.txt"),
  [...byLicence].map(([text, folders]) => `${folders.map(title).join("\n")}\n\n${text}\n`).join("\n"),
);

function title(packageFolder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8"));
  return `${name} ${version} (${license})`;
}

/** The texts of a package's licence; empty where it has only the licence's name. */
function licenceText(packageFolder: string): string {
  return readdirSync(packageFolder)
    .filter((file) => /^(licen[cs]e|notice|copying)\b/i.test(file))
    .map((file) => readFileSync(join(packageFolder, file), "utf8").trim())
    .join("\n\n");
}
