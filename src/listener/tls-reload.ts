import { readFile } from "node:fs/promises";
import type { Logger } from "pino";
import {
  credentialsFrom,
  type TlsContents,
  type TlsCredentials,
  type TlsFiles,
  tlsFileKeys,
  unreadable,
} from "./tls-files.ts";

/** What following the files needs. */
export interface TlsReloadParts {
  readonly files: TlsFiles;
  readonly log: Logger;
  /** Time between two looks at the files, in milliseconds. Default 5 s. */
  readonly intervalMs?: number;
  /** The clock, in milliseconds since the epoch. Default: Date.now. */
  readonly now?: () => number;
}

/** Credentials that follow their files. */
export interface TlsReload {
  /** What to serve with at first. */
  readonly credentials: TlsCredentials;
  /** Begins to look, and gives `use` what is new and good. What is not good is logged once and changes nothing. */
  follow(use: (credentials: TlsCredentials) => void): void;
  stop(): void;
}

const lookIntervalMs = 5_000;
const dayMs = 86_400_000;
const warnBeforeMs = 7 * dayMs;

/**
 * Reads the files and looks for new contents from time to time. It compares contents and does not wait for the file
 * system's events: those miss what orchestrators do, which is to move a symbolic link of a directory above.
 *
 * Rejects with an Error that names the setting and the file when they cannot be used at the start.
 */
export async function readTlsFiles({
  files,
  log,
  intervalMs = lookIntervalMs,
  now = Date.now,
}: TlsReloadParts): Promise<TlsReload> {
  let contents = await readContents(files);
  let credentials = credentialsFrom(files, contents);
  let lastProblem = "";
  let warnedAtMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;

  const warnOfExpiry = () => {
    const nowMs = now();
    const leftMs = credentials.expiresAtMs - nowMs;
    if (leftMs > warnBeforeMs || nowMs - warnedAtMs < dayMs) {
      return;
    }
    warnedAtMs = nowMs;
    const facts = { file: files.tlsCertFile, expiresAt: new Date(credentials.expiresAtMs) };
    if (leftMs <= 0) {
      log.error(facts, "the TLS certificate has expired");
    } else {
      log.warn(facts, "the TLS certificate expires within 7 days");
    }
  };

  const look = async (use: (credentials: TlsCredentials) => void) => {
    try {
      const found = await readContents(files);
      if (!tlsFileKeys.every((key) => isSame(found[key], contents[key]))) {
        contents = found;
        credentials = credentialsFrom(files, found);
        warnedAtMs = Number.NEGATIVE_INFINITY;
        use(credentials);
        log.info({ expiresAt: new Date(credentials.expiresAtMs) }, "the TLS files have changed and are used");
        lastProblem = "";
      }
    } catch (error) {
      const problem = String(error);
      if (problem !== lastProblem) {
        lastProblem = problem;
        log.error({ err: error }, "the TLS files have changed and cannot be used; the ones before stay in use");
      }
    }
    warnOfExpiry();
  };

  warnOfExpiry();
  return {
    credentials,
    follow: (use) => {
      const again = async () => {
        await look(use);
        if (timer) {
          timer = setTimeout(again, intervalMs).unref();
        }
      };
      timer = setTimeout(again, intervalMs).unref();
    },
    stop: () => {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}

async function readContents(files: TlsFiles): Promise<TlsContents> {
  const contents: Record<string, Buffer | undefined> = {};
  for (const key of tlsFileKeys) {
    const path = files[key];
    contents[key] =
      path === ""
        ? undefined
        : await readFile(path).catch((error: unknown) => {
            throw unreadable(key, path, error);
          });
  }
  return contents as Record<keyof TlsFiles, Buffer | undefined>;
}

function isSame(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a && b ? a.equals(b) : a === b;
}
