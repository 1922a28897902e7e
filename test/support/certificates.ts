import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 86_400_000;

/** A certificate with its key, both PEM. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
}

/** What a certificate says. */
export interface CertificateOptions {
  /** Common name. Default "test". */
  readonly name?: string;
  /** Subject alternative names. Default: localhost and 127.0.0.1. */
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  /** URIs, such as a SPIFFE id. Default none. */
  readonly uris?: readonly string[];
  /** When it begins and ends. Default: yesterday, and in 30 days. */
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

/** An authority that lives as long as the test. */
export interface CertificateAuthority {
  /** Its certificate, PEM. */
  readonly cert: string;
  /** Issues a certificate for servers and clients alike. */
  issue(options?: CertificateOptions): Promise<CertificatePair>;
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

/** Makes an authority. */
export async function createCertificateAuthority(name = "test authority"): Promise<CertificateAuthority> {
  const keys = await generateKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(Date.now() + 365 * dayMs),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  return {
    cert: authority.toString("pem"),
    issue: async (options = {}) => {
      const { dns = ["localhost"], ip = ["127.0.0.1"], uris = [] } = options;
      const own = await generateKeys();
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=${options.name ?? "test"}`,
        issuer: authority.subject,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        notBefore: options.notBefore ?? new Date(Date.now() - dayMs),
        notAfter: options.notAfter ?? new Date(Date.now() + 30 * dayMs),
        extensions: [
          new x509.BasicConstraintsExtension(false),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          new x509.SubjectAlternativeNameExtension([
            ...dns.map((value) => ({ type: "dns" as const, value })),
            ...ip.map((value) => ({ type: "ip" as const, value })),
            ...uris.map((value) => ({ type: "url" as const, value })),
          ]),
        ],
      });
      const key = await webcrypto.subtle.exportKey("pkcs8", own.privateKey);
      return { cert: certificate.toString("pem"), key: x509.PemConverter.encode(key, "PRIVATE KEY") };
    },
  };
}
