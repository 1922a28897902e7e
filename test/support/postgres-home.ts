import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, readFileSync, realpathSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where this process keeps its PostgreSQL servers and their binaries. */
export interface PostgresHome {
  /** Everybody may read it. Removed when this process has ended, even by SIGKILL. */
  readonly directory: string;
  /** Sees to it that a child and its descendants do not outlive this process. */
  guard(child: ChildProcess): void;
}

/** Options of child_process for whoever runs PostgreSQL. */
export interface PostgresUser {
  readonly uid?: number;
  readonly gid?: number;
}

/** The whole environment of its processes, so that they are the same everywhere: English messages, the time in UTC. */
export const postgresEnvironment = { LC_ALL: "C", TZ: "UTC", PATH: process.env["PATH"] ?? "/usr/bin:/bin" };

const watchdog = fileURLToPath(new URL("./postgres-watchdog.ts", import.meta.url));
let home: PostgresHome | undefined;

/** The home of this process, made at the first call. */
export function postgresHome(): PostgresHome {
  home ??= createHome();
  return home;
}

/** Nobody when this process is root's, as which PostgreSQL refuses to run; otherwise the user of this process. */
export function postgresUser(): PostgresUser {
  if (process.getuid?.() !== 0) {
    return {};
  }
  const [, uid, gid] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(readFileSync("/etc/passwd", "utf8")) ?? [];
  if (uid === undefined) {
    throw new Error("PostgreSQL does not run as root, and /etc/passwd has no user nobody");
  }
  return { uid: Number(uid), gid: Number(gid) };
}

/** Makes a file or directory belong to whoever runs PostgreSQL. */
export function giveToPostgres(path: string): void {
  const { uid, gid } = postgresUser();
  if (uid !== undefined && gid !== undefined) {
    chownSync(path, uid, gid);
  }
}

function createHome(): PostgresHome {
  const directory = mkdtempSync(join(reachable(realpathSync(tmpdir())) ? tmpdir() : "/tmp", "longhaul-postgres-"));
  chmodSync(directory, 0o755);
  // A session of its own: what a terminal or a runner sends to a whole process group must not reach it.
  const dog = spawn(process.execPath, [watchdog, directory], {
    cwd: "/",
    env: {},
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  dog.unref();
  (dog.stdin as Socket).unref();
  dog.stdin.on("error", () => {});
  const guarded = new Set<number | undefined>();
  const tell = () => dog.stdin.write(`${JSON.stringify([...guarded])}\n`);
  return {
    directory,
    guard(child) {
      guarded.add(child.pid);
      tell();
      child.once("exit", () => {
        guarded.delete(child.pid);
        tell();
      });
    },
  };
}

/** Whether whoever runs PostgreSQL can enter a directory. */
function reachable(directory: string): boolean {
  if (postgresUser().uid === undefined) {
    return true;
  }
  const parent = dirname(directory);
  return (statSync(directory).mode & 0o001) !== 0 && (parent === directory || reachable(parent));
}
