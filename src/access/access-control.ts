import { watchFile } from "../files/watched-file.ts";
import { type AuthenticatorOptions, type Connection, createAuthenticator } from "./authenticator.ts";
import { CallerAccess } from "./caller-access.ts";
import { type Policy, policyFrom } from "./policy.ts";
import type { Principal } from "./principal.ts";

/** How callers prove who they are, and what they may do then. */
export interface AccessControlOptions extends AuthenticatorOptions {
  readonly accessPolicyFile: string;
}

/** Finds out what the maker of a call may do. */
export interface AccessControl {
  /** As `Authenticator.authenticate`; the same object each time, as long as the policy is the same. */
  identify(authorization: string | null, over: Connection): CallerAccess | Promise<CallerAccess>;
}

/** Makes an access control. Throws an Error that names the file that cannot be read. */
export function createAccessControl(options: AccessControlOptions): AccessControl {
  const { accessPolicyFile, log, now } = options;
  const authenticator = createAuthenticator(options);
  const policy = watchFile({ paths: [accessPolicyFile], what: "the access policy", parse: policyFrom, log, now });
  const known = new WeakMap<Principal, { readonly policy: Policy; readonly access: CallerAccess }>();
  const accessOf = (principal: Principal, nowMs: number): CallerAccess => {
    const current = policy.current(nowMs);
    const seen = known.get(principal);
    if (seen?.policy === current) {
      return seen.access;
    }
    const access = new CallerAccess(callerName(principal), current.grantsOf(principal));
    known.set(principal, { policy: current, access });
    return access;
  };
  return {
    identify: (authorization, over) => {
      const nowMs = now();
      const principal = authenticator.authenticate(authorization, over, nowMs);
      return principal instanceof Promise
        ? principal.then((found) => accessOf(found, now()))
        : accessOf(principal, nowMs);
    },
  };
}

/** For logs and limits, where the name of a token must not be taken for the subject of another one. */
function callerName({ kind, name }: Principal): string {
  return kind === "token" ? `token:${name}` : name;
}
