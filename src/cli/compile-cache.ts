import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * Keeps what has been compiled of modules that are loaded from now on, for the next start. In ~/.cache/longhaul, and not
 * in the machine's temporary directory: who can write there says what runs here.
 *
 * Node's own NODE_COMPILE_CACHE names another directory, and NODE_DISABLE_COMPILE_CACHE=1 turns it off. Where nothing can
 * be written, nothing is kept.
 */
export function keepCompiledCode(): void {
  let home: string;
  try {
    home = homedir();
  } catch {
    // The user of this process is not in the system's list, as in some containers.
    return;
  }
  enableCompileCache(join(home, ".cache", "longhaul"));
}
