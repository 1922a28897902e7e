import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ServiceOrchestrator } from "./service-orchestrator.ts";

/**
 * Imports a module and answers the orchestrators among its exports. Rejects with an Error that names the module when it
 * cannot be loaded or exports none.
 */
export async function loadServices(module: string): Promise<ServiceOrchestrator[]> {
  const path = resolve(module);
  let exports: Record<string, unknown>;
  try {
    exports = await import(pathToFileURL(path).href);
  } catch (error) {
    throw new Error(`services module ${path} cannot be loaded: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  const orchestrators = Object.values(exports).filter((value) => value instanceof ServiceOrchestrator);
  if (orchestrators.length === 0) {
    throw new Error(
      `services module ${path} exports no ServiceOrchestrator; it exports ${Object.keys(exports).join(", ") || "nothing"}`,
    );
  }
  return orchestrators;
}
