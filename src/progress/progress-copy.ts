import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { ProgressUpdate } from "./progress-update.ts";

/** A copy that shares nothing the caller could change later. */
export function copyProgress(progress: ProgressUpdate): ProgressUpdate {
  const { context, phasePath } = progress;
  if (context === undefined && phasePath === undefined) return { ...progress };
  return {
    ...progress,
    ...(context !== undefined && { context: copyJsonObject(context) }),
    ...(phasePath !== undefined && { phasePath: [...phasePath] }),
  };
}

function copyJsonObject(source: JsonObject): JsonObject {
  // Spreading makes "__proto__" an own key of the copy, so that assigning to it below does not set a prototype.
  const copy: JsonObject = { ...source };
  for (const key in copy) {
    const value = copy[key];
    if (typeof value === "object" && value !== null) copy[key] = copyJson(value);
  }
  return copy;
}

function copyJson(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(copyJson);
  return typeof value === "object" && value !== null ? copyJsonObject(value) : value;
}
