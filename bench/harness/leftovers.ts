import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const undos = new Set<() => void>();

/**
 * Has something undone at the end of this process, however it ends but by SIGKILL, or earlier by calling what is
 * answered; once in all. What is undone must be synchronous.
 */
export function undoAtEnd(undo: () => void): () => void {
  const once = () => {
    if (undos.delete(once)) {
      undo();
    }
  };
  undos.add(once);
  return once;
}

/** Undoes everything now, the last first. */
export function undoAll(): void {
  for (const undo of [...undos].reverse()) {
    undo();
  }
}

process.once("exit", undoAll);

/** A directory that is removed at the end. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "longhaul-bench-"));
  undoAtEnd(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}
