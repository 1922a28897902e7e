import { isLoopback } from "../client/loopback.ts";

/** What decides who can reach a server and what protects it then. An empty text is unset. */
export interface ExposureSettings {
  readonly listenHost: string;
  readonly tlsCertFile: string;
  readonly tlsClientCaFile: string;
  readonly jwksUrl: string;
  readonly jwtKeyFile: string;
  readonly jwtIssuer: string;
  readonly jwtAudience: string;
  readonly tokensFile: string;
  readonly accessPolicyFile: string;
  readonly insecure: boolean;
}

/**
 * Refuses settings that protect a server less than they seem to, or not at all where others can reach it. Throws an
 * Error that names what is missing and the ways out.
 */
export function refuseExposure(settings: ExposureSettings): void {
  refuseHalfAuthentication(settings);
  const { listenHost, tlsCertFile, accessPolicyFile, insecure, jwksUrl } = settings;
  if (insecure) {
    return;
  }
  const missing = [
    ...(tlsCertFile === "" ? ["TLS (tlsCertFile and tlsKeyFile)"] : []),
    ...(accessPolicyFile === ""
      ? ["authentication (accessPolicyFile, with tokensFile, jwksUrl, jwtKeyFile or tlsClientCaFile)"]
      : []),
  ];
  if (!isLoopback(listenHost) && missing.length > 0) {
    throw new Error(
      `listenHost ${listenHost} can be reached from other machines, and there is no ${missing.join(" and no ")}: ` +
        "configure it, or say that the network is trusted with --insecure or LONGHAUL_INSECURE=true",
    );
  }
  const keysFrom = URL.parse(jwksUrl);
  if (keysFrom?.protocol === "http:" && !isLoopback(keysFrom.hostname)) {
    throw new Error(
      `jwksUrl ${keysFrom.origin} is fetched in plaintext, where anybody on the way can put in keys: ` +
        "use https, or say that the network is trusted with --insecure or LONGHAUL_INSECURE=true",
    );
  }
}

function refuseHalfAuthentication(settings: ExposureSettings): void {
  const { jwksUrl, jwtKeyFile, jwtIssuer, jwtAudience, tokensFile, tlsClientCaFile, accessPolicyFile } = settings;
  if (jwksUrl !== "" && jwtKeyFile !== "") {
    throw new Error("jwksUrl and jwtKeyFile are both set; JWTs are signed with the keys of one of them");
  }
  const jwtKeys = jwksUrl === "" ? (jwtKeyFile === "" ? undefined : "jwtKeyFile") : "jwksUrl";
  for (const [key, value] of Object.entries({ jwtIssuer, jwtAudience })) {
    if (jwtKeys !== undefined && value === "") {
      throw new Error(`${key} is not set; ${jwtKeys} needs it, or tokens made for others would be accepted`);
    }
    if (jwtKeys === undefined && value !== "") {
      throw new Error(`${key} is set, but neither jwksUrl nor jwtKeyFile: no JWT can be verified`);
    }
  }
  const proof = jwtKeys ?? (tokensFile === "" ? undefined : "tokensFile");
  if (proof !== undefined && accessPolicyFile === "") {
    throw new Error(`accessPolicyFile is not set; ${proof} needs it, for it says what callers may do`);
  }
  if (accessPolicyFile !== "" && proof === undefined && tlsClientCaFile === "") {
    throw new Error(
      "accessPolicyFile is set, but nothing by which callers can prove who they are: " +
        "tokensFile, jwksUrl, jwtKeyFile or tlsClientCaFile",
    );
  }
}
