/** Who a caller has proved to be. */
export type Principal =
  /** By a JWT: its claims. */
  | { readonly kind: "jwt"; readonly name: string; readonly claims: Readonly<Record<string, unknown>> }
  /** By a token of the tokens file, which has a name there. */
  | { readonly kind: "token"; readonly name: string }
  /** By a client certificate. */
  | { readonly kind: "spiffe"; readonly name: string };
