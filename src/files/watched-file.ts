import { readFileSync, statSync } from "node:fs";

/** Where it is told what became of a file. */
export interface FileLog {
  info(about: object, message: string): void;
  error(about: object, message: string): void;
}

/** Which files are watched, and how. */
export interface WatchOptions<T> {
  /** One file, or several that are read together. */
  readonly paths: readonly string[];
  /** What they are, for messages: "the access policy". */
  readonly what: string;
  /** Reads the contents. Throws an Error whose message may be logged, so it must not repeat secrets. */
  readonly parse: (...contents: string[]) => T;
  readonly log: FileLog;
  /** Milliseconds since any fixed instant. */
  readonly now: () => number;
}

/** Files whose content is replaced while it is in use. */
export interface WatchedFile<T> {
  /**
   * What the newest version that could be read says; the same object until there is another one. `nowMs` is for those
   * who have just read the clock.
   */
  current(nowMs?: number): T;
}

/** Shortest time between two looks at the files, in milliseconds. */
const lookMs = 1_000;

/**
 * Reads files now, and again whenever one of them has changed, looked for when somebody asks. A new version that cannot
 * be read is logged once, and the one before stays in force. Throws an Error that names the file when the first version
 * cannot be read.
 *
 * The look is synchronous, so that no call after it is answered by the old version; and it is by name, because what is
 * mounted into containers is replaced rather than written.
 */
export function watchFile<T>({ paths, what, parse, log, now }: WatchOptions<T>): WatchedFile<T> {
  const read = (): T => {
    try {
      return parse(...paths.map((path) => readFileSync(path, "utf8")));
    } catch (error) {
      throw new Error(`${what} (${paths.join(", ")}): ${describe(error)}`);
    }
  };
  let version = versionOf(paths);
  let value = read();
  let lookedAtMs = now();
  return {
    current: (nowMs = now()) => {
      if (Math.abs(nowMs - lookedAtMs) < lookMs) {
        return value;
      }
      lookedAtMs = nowMs;
      const seen = versionOf(paths);
      if (seen !== version) {
        version = seen;
        try {
          value = read();
          log.info({ paths }, `${what} was read again`);
        } catch (error) {
          const reason = (error as Error).message;
          log.error({ reason }, `${what} has changed and cannot be used; what it said before stays in force`);
        }
      }
      return value;
    },
  };
}

/** Differs for every version of the files. */
function versionOf(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
      return stat ? `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}` : "missing";
    })
    .join("; ");
}

function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "ENOENT" ? "does not exist" : message;
}
