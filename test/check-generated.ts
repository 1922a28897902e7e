import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Ends with an error when gen/ is not what the protos generate now.
const fresh = mkdtempSync(join(tmpdir(), "longhaul-gen-"));
try {
  execFileSync("buf", ["generate", "--output", fresh], { stdio: "inherit" });
  const listed = (directory: string) =>
    readdirSync(directory, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .sort();
  const wanted = listed(join(fresh, "gen"));
  const different = [...new Set([...wanted, ...listed("gen")])].filter((path) => {
    const read = (root: string) => {
      try {
        return readFileSync(join(root, path), "utf8");
      } catch {
        return undefined;
      }
    };
    return read(join(fresh, "gen")) !== read("gen");
  });
  if (different.length > 0) {
    process.stderr.write(`gen/ is not current: ${different.join(", ")}; run "npm run generate"\n`);
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true });
}
