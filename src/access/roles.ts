/** What callers may do, from the least to the most; each role includes those before it. */
export const roles = ["viewer", "operator", "admin"] as const;

/** viewer reads; operator also creates, cancels and retries; admin also deletes, forces and cancels in bulk. */
export type Role = (typeof roles)[number];

/** Whether a role includes another one. */
export function includesRole(held: Role, needed: Role): boolean {
  return roles.indexOf(held) >= roles.indexOf(needed);
}
