import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "./temporary-directory.ts";

/** A file that a test writes anew. */
export interface TestFile {
  readonly path: string;
  /** Replaces the content; text as it is, anything else as JSON. */
  write(content: unknown): void;
}

/** Writes a file; it is removed when the running test ends. */
export async function testFile(name: string, content: unknown): Promise<TestFile> {
  const path = join(await temporaryDirectory(), name);
  const write = (next: unknown) => writeFileSync(path, typeof next === "string" ? next : JSON.stringify(next));
  write(content);
  return { path, write };
}

/** Three static tokens, one for each role, and the files that make them so. */
export const roleTokens = {
  viewer: "viewer-token-0123456789",
  operator: "operator-token-0123456789",
  admin: "admin-token-0123456789",
} as const;

/** Settings of a server that accepts `roleTokens`, and what further bindings say of further tokens. */
export async function roleTokenSettings(
  further: readonly { readonly name: string; readonly token: string; readonly bindings: readonly object[] }[] = [],
): Promise<{ tokensFile: string; accessPolicyFile: string }> {
  const named = Object.entries(roleTokens);
  const tokens = [
    ...named.map(([name, token]) => ({ name, token })),
    ...further.map(({ name, token }) => ({ name, token })),
  ];
  const allBindings = [
    ...named.map(([role]) => ({ role, tokens: [role] })),
    ...further.flatMap(({ name, bindings }) => bindings.map((binding) => ({ ...binding, tokens: [name] }))),
  ];
  return {
    tokensFile: (await testFile("tokens.json", { tokens })).path,
    accessPolicyFile: (await testFile("policy.json", { bindings: allBindings })).path,
  };
}
