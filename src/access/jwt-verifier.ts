import { errors, type JWTPayload, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from "jose";
import { unauthenticated } from "./access-errors.ts";

/** What a token must say to be accepted. */
export interface JwtRules {
  readonly issuer: string;
  readonly audience: string;
  readonly algorithms: readonly string[];
}

/** A token that was found good. */
export interface VerifiedJwt {
  readonly subject: string;
  readonly claims: Readonly<Record<string, unknown>>;
  /** When it ends to be good, in milliseconds since the epoch; the tolerance for clocks is in it. */
  readonly expiresAtMs: number;
}

/** How far the clocks of issuer and server may be apart, in seconds. */
const clockToleranceSeconds = 30;
const requiredClaims = ["exp", "sub"];

/**
 * Verifies a JWT at a time, in milliseconds since the epoch. A CallError UNAUTHENTICATED says as much as its bearer may
 * know: of a token without a good signature, nothing but that.
 */
export async function verifyJwt(
  token: string,
  findKey: JWTVerifyGetKey,
  { issuer, audience, algorithms }: JwtRules,
  nowMs: number,
): Promise<VerifiedJwt> {
  const options: JWTVerifyOptions = {
    issuer,
    audience,
    algorithms: [...algorithms],
    requiredClaims,
    clockTolerance: clockToleranceSeconds,
    currentDate: new Date(nowMs),
  };
  const claims = await verify(token, findKey, options);
  const { sub, exp = 0 } = claims;
  if (typeof sub !== "string" || sub === "") {
    throw unauthenticated('the token\'s claim "sub" is no text');
  }
  return { subject: sub, claims, expiresAtMs: (exp + clockToleranceSeconds) * 1_000 };
}

async function verify(token: string, findKey: JWTVerifyGetKey, options: JWTVerifyOptions): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, findKey, options)).payload;
  } catch (error) {
    // A token that does not say which one of several keys it was signed with.
    if (error instanceof errors.JWKSMultipleMatchingKeys) {
      for await (const key of error) {
        try {
          return (await jwtVerify(token, key, options)).payload;
        } catch (other) {
          if (!(other instanceof errors.JWSSignatureVerificationFailed)) {
            throw refusal(other);
          }
        }
      }
    }
    throw refusal(error);
  }
}

/** What a bearer is told; claims are only looked at once the signature was found good. */
function refusal(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) {
    return unauthenticated("the token has expired");
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    switch (error.claim) {
      case "aud":
        return unauthenticated("the token is not meant for this service: its audience is another one");
      case "iss":
        return unauthenticated("the token's issuer is not trusted here");
      case "nbf":
        return unauthenticated("the token is not valid yet");
      default:
        return unauthenticated(`the token's claim ${JSON.stringify(error.claim)} is missing or malformed`);
    }
  }
  const isTokensFault =
    error instanceof errors.JOSEError || error instanceof TypeError || error instanceof DOMException;
  return isTokensFault ? unauthenticated("the token is not valid") : error;
}
