import { hash } from "node:crypto";

/** SHA-256 of a token in hexadecimal: what is kept and compared instead of the token itself. */
export function digestOf(token: string): string {
  return hash("sha256", token);
}
