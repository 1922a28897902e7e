import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { openSqliteStore, type SqliteStoreOptions } from "../../src/store/sqlite-store.ts";
import type { OpenedStore } from "./store-fixture.ts";

/** Runs a test with a directory of its own, which is removed afterwards. */
export async function withDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "longhaul-store-"));
  try {
    await body(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Opens a store in a new directory. */
export async function openTemporaryStore(options: SqliteStoreOptions = {}): Promise<OpenedStore> {
  const directory = mkdtempSync(join(tmpdir(), "longhaul-store-"));
  const path = join(directory, "longhaul.db");
  let newest: OperationStore = await openSqliteStore(path, options);
  return {
    store: newest,
    async reopen() {
      await newest.close();
      newest = await openSqliteStore(path, options);
      return newest;
    },
    async dispose() {
      await newest.close();
      rmSync(directory, { recursive: true });
    },
  };
}
