import { createPublicKey } from "node:crypto";
import { createLocalJWKSet, type JWK, type JWTVerifyGetKey } from "jose";
import { z } from "zod";
import { parseJsonFile } from "../files/json-file.ts";

const keySet = z.strictObject({
  keys: z
    .array(
      z
        .looseObject({ kty: z.enum(["RSA", "EC", "OKP"], "must be RSA, EC or OKP: a public key") })
        .refine((key) => !Object.hasOwn(key, "d"), "is a private key; give the public part only"),
    )
    .min(1, "has no key"),
});

/**
 * The keys of a file: a JSON Web Key Set, or one public key as PEM. Throws an Error without any of the content when it
 * is neither, or holds a private or symmetric key, which has no business here.
 */
export function keysFrom(content: string): JWTVerifyGetKey {
  if (!content.includes("-----BEGIN")) {
    return createLocalJWKSet(parseJsonFile(content, keySet) as { keys: JWK[] });
  }
  if (content.includes("PRIVATE KEY-----")) {
    throw new Error("it holds a private key; give the public part only");
  }
  try {
    const key = createPublicKey(content);
    return async () => key;
  } catch {
    throw new Error("it holds no public key in PEM form");
  }
}
