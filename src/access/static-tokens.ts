import { timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { parseJsonFile } from "../files/json-file.ts";
import { digestOf } from "./token-digest.ts";

/** A token that is known by its digest. */
export interface StaticToken {
  /** What the policy and the logs call its bearer. */
  readonly name: string;
  readonly digest: Buffer;
}

/** Characters that a token must have at least: fewer can be guessed. */
const shortestToken = 16;

const entry = z
  .strictObject(
    {
      name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.@/-]{0,127}$/, "must be a name of letters, digits and _.@/-"),
      token: z
        .string()
        .min(shortestToken, `must have at least ${shortestToken} characters`)
        .regex(/^[A-Za-z0-9._~+/=-]*$/, "must be of letters, digits and ._~+/=-")
        .optional(),
      sha256: z
        .string()
        .regex(/^[0-9a-fA-F]{64}$/, "must be 64 hexadecimal digits")
        .optional(),
    },
    // A key that does not belong here may be a token in the wrong place.
    { error: (issue) => (issue.code === "unrecognized_keys" ? "has a key beside name, token and sha256" : undefined) },
  )
  .refine(({ token, sha256 }) => (token === undefined) !== (sha256 === undefined), "needs either token or sha256");

const tokensFile = z.strictObject(
  { tokens: z.array(entry).min(1, "has no token") },
  { error: (issue) => (issue.code === "unrecognized_keys" ? "has a key beside tokens" : undefined) },
);

/** Reads a tokens file. Throws an Error that names what is wrong, without any token. */
export function staticTokensFrom(content: string): readonly StaticToken[] {
  const { tokens } = parseJsonFile(content, tokensFile);
  const names = new Set<string>();
  for (const { name } of tokens) {
    if (names.has(name)) {
      throw new Error(`two tokens have the name ${name}`);
    }
    names.add(name);
  }
  return tokens.map(({ name, token, sha256 = "" }) => ({
    name,
    digest: Buffer.from(token === undefined ? sha256 : digestOf(token), "hex"),
  }));
}

/** The token with a digest, compared in a time that says nothing of how near a guess was. */
export function findToken(tokens: readonly StaticToken[], digest: string): StaticToken | undefined {
  const wanted = Buffer.from(digest, "hex");
  return tokens.find((one) => timingSafeEqual(one.digest, wanted));
}
