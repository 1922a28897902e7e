import { execFile } from "node:child_process";
import { closeSync, mkdtempSync, openSync, realpathSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/**
 * How the disk does:
 *
 * - "full": every write is refused with ENOSPC, over what is there as well as behind its end. Syncs work.
 * - "write-fails": writes, and changes of a file's size, fail with EIO. Syncs work.
 * - "fsync-fails": fsync and fdatasync fail with EIO. What was written stays in the file.
 * - "slow": fsync and fdatasync take 300 ms each.
 */
export type DiskMode = "healthy" | "full" | "write-fails" | "fsync-fails" | "slow";

/** A disk that fails on command, for the processes that are started with its environment. */
export interface FailingDisk {
  /**
   * What a child needs in its environment beside the rest, so that a directory and all below it fail for the child and
   * for its own children. A file fails alone, such as a database without its -wal. Throws an Error when neither exists.
   */
  environmentFor(directory: string): Record<string, string>;
  /** Takes effect with the next call of every such process, and of those yet to start. "healthy" before the first. */
  setMode(mode: DiskMode): void;
  /** Removes the disk's own files, after which it can neither change nor be given to a child. Safe to repeat. */
  remove(): void;
}

/** Why this machine can have no failing disk. */
export interface NoFailingDisk {
  readonly unavailable: string;
}

/** What failing-disk.c calls the modes. */
const modeBytes: Readonly<Record<DiskMode, string>> = {
  healthy: "h",
  full: "f",
  "write-fails": "w",
  "fsync-fails": "s",
  slow: "d",
};

const source = fileURLToPath(new URL("./failing-disk.c", import.meta.url));
const run = promisify(execFile);

/**
 * Compiles the library that stands between a program and its disk. It needs Linux with glibc and a C compiler; without
 * them it answers why there is none. Throws an Error when the library does not compile, and when the path of the
 * temporary directory has a space or a colon.
 */
export async function buildFailingDisk(): Promise<FailingDisk | NoFailingDisk> {
  if (process.platform !== "linux") {
    return { unavailable: `glibc's LD_PRELOAD is not there on ${process.platform}` };
  }
  const compiler = await findCompiler();
  if (typeof compiler !== "string") {
    return compiler;
  }
  const home = mkdtempSync(join(tmpdir(), "longhaul-disk-"));
  const remove = () => rmSync(home, { recursive: true, force: true });
  const library = join(home, "failing-disk.so");
  const control = join(home, "mode");
  try {
    if (/[\s:]/.test(library)) {
      throw new Error(`LD_PRELOAD cannot name ${library}; use another TMPDIR`);
    }
    await run(compiler, ["-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"]);
    writeFileSync(control, modeBytes.healthy);
  } catch (error) {
    remove();
    throw error;
  }
  return {
    environmentFor: (directory) => ({
      LD_PRELOAD: [library, process.env["LD_PRELOAD"] ?? ""].filter((path) => path !== "").join(":"),
      FAILING_DISK_CONTROL: control,
      FAILING_DISK_DIRECTORY: realpathSync(directory),
    }),
    setMode(mode) {
      // Never made shorter: processes have its first byte mapped.
      const file = openSync(control, "r+");
      writeSync(file, modeBytes[mode], 0);
      closeSync(file);
    },
    remove,
  };
}

/** The first compiler that has what the library includes. */
async function findCompiler(): Promise<string | NoFailingDisk> {
  let unavailable = "there is no C compiler: neither cc nor gcc nor clang";
  for (const compiler of ["cc", "gcc", "clang"]) {
    try {
      // Only the preprocessor, so that a mistake in the library is not taken for a machine that cannot have it.
      await run(compiler, ["-M", source]);
      return compiler;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        unavailable = `${compiler} cannot build it: ${(error as { stderr?: string }).stderr?.trim()}`;
      }
    }
  }
  return { unavailable };
}
