import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The role that docs/security.md says each method needs, by the method's full name; "none" is no credential at all. */
export function documentedRoles(): Map<string, string> {
  const page = readFileSync(join(import.meta.dirname, "../../docs/security.md"), "utf8");
  const rows = page.matchAll(/^\| `([a-z0-9.]+\.\w+\/\w+)` \| (viewer|operator|admin|none) \|/gim);
  return new Map([...rows].map(([, method = "", role = ""]) => [method, role]));
}
