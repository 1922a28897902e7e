import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** The object with its keys in order, at every depth, so that equal ones are encoded to the same bytes. */
export function withSortedKeys(object: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.keys(object)
      .sort()
      .map((key) => [key, sorted(object[key] ?? null)]),
  );
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  return typeof value === "object" && value !== null ? withSortedKeys(value) : value;
}
