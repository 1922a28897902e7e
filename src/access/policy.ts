import { z } from "zod";
import { parseJsonFile } from "../files/json-file.ts";
import { isOperationType } from "../operations/request-checks.ts";
import type { Grant } from "./caller-access.ts";
import type { Principal } from "./principal.ts";
import { roles } from "./roles.ts";
import { isSpiffeId } from "./spiffe-id.ts";

/** Who may do what. */
export interface Policy {
  /** What a caller may do; nothing when no binding is for it. */
  grantsOf(principal: Principal): readonly Grant[];
}

const name = z.string().min(1, "is empty");
const names = z.array(name).min(1, "has no entry");

const binding = z
  .strictObject({
    role: z.enum(roles),
    /** Values of the claim "sub" of a JWT. */
    subjects: names.optional(),
    /** A claim of a JWT that is, or is a list with, one of the values. */
    claim: z.strictObject({ path: z.union([name, names]), values: names }).optional(),
    /** Names in the tokens file. */
    tokens: names.optional(),
    /** SPIFFE ids, or beginnings of some with "/*" at the end. */
    spiffeIds: z
      .array(z.string().refine(isSpiffePattern, "is no SPIFFE id, nor the beginning of one with /*"))
      .optional(),
    /** The types the role is for. Default all. */
    operationTypes: z
      .array(z.string().refine(isOperationType, "is no operation type"))
      .min(1, "has no entry")
      .optional(),
    /** The labels an operation must have for the role. Default none. */
    labels: z
      .record(name, z.string())
      .refine((labels) => Object.keys(labels).length > 0, "has no entry")
      .optional(),
  })
  .refine(
    ({ subjects, claim, tokens, spiffeIds }) => (subjects ?? claim ?? tokens ?? spiffeIds) !== undefined,
    "is for nobody; it needs subjects, claim, tokens or spiffeIds",
  );

const policyFile = z.strictObject({ bindings: z.array(binding).min(1, "has no binding") });

type Binding = z.infer<typeof binding>;

/** Reads a policy file. Throws an Error that says where it is wrong. */
export function policyFrom(content: string): Policy {
  const { bindings } = parseJsonFile(content, policyFile);
  const entries = bindings.map((one) => ({
    isFor: (principal: Principal) => isBound(one, principal),
    grant: grantOf(one),
  }));
  return {
    grantsOf: (principal) => entries.filter(({ isFor }) => isFor(principal)).map(({ grant }) => grant),
  };
}

function grantOf({ role, operationTypes, labels }: Binding): Grant {
  return {
    role,
    ...(operationTypes && { operationTypes: new Set(operationTypes) }),
    ...(labels && { labels: Object.entries(labels) }),
  };
}

function isBound({ subjects, claim, tokens, spiffeIds }: Binding, principal: Principal): boolean {
  switch (principal.kind) {
    case "jwt":
      return (
        subjects?.includes(principal.name) === true ||
        (claim !== undefined && claimValues(principal.claims, claim.path).some((value) => claim.values.includes(value)))
      );
    case "token":
      return tokens?.includes(principal.name) === true;
    case "spiffe":
      return spiffeIds?.some((pattern) => matchesSpiffe(pattern, principal.name)) === true;
  }
}

/** The texts of a claim. Only "scope" is a list within a text (RFC 8693, section 4.2). */
function claimValues(claims: Readonly<Record<string, unknown>>, path: string | readonly string[]): string[] {
  let value: unknown = claims;
  for (const step of typeof path === "string" ? [path] : path) {
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    value = isObject && Object.hasOwn(value as object, step) ? (value as Record<string, unknown>)[step] : undefined;
  }
  if (typeof value === "string") {
    return path === "scope" ? value.split(" ") : [value];
  }
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

function isSpiffePattern(pattern: string): boolean {
  return pattern.endsWith("/*") ? isSpiffeId(`${pattern.slice(0, -1)}x`) : isSpiffeId(pattern);
}

function matchesSpiffe(pattern: string, id: string): boolean {
  return pattern.endsWith("/*") ? id.startsWith(pattern.slice(0, -1)) : id === pattern;
}
