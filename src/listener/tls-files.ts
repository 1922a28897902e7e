import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";

/** The files a TLS listener needs, as settings name them. */
export interface TlsFiles {
  /** PEM: the server's certificate, then those of the authorities between it and a root. */
  readonly tlsCertFile: string;
  /** PEM, without a passphrase. */
  readonly tlsKeyFile: string;
  /** PEM: the authorities that sign clients' certificates. "" asks no client for one. */
  readonly tlsClientCaFile: string;
}

/** The name of a setting that names a file. */
export type TlsFileKey = keyof TlsFiles;

/** What the files hold; a setting that is not set has nothing. */
export type TlsContents = Readonly<Record<TlsFileKey, Buffer | undefined>>;

/** What was found good to serve with. */
export interface TlsCredentials {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  /** When the first certificate of tlsCertFile to end ends, in milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** The settings, in the order they are read and told of. */
export const tlsFileKeys: readonly TlsFileKey[] = ["tlsCertFile", "tlsKeyFile", "tlsClientCaFile"];

const pemCertificate = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * Checks that certificate, key and authorities can be used together. Throws an Error that names the setting and the
 * file that are at fault.
 */
export function credentialsFrom(files: TlsFiles, contents: TlsContents): TlsCredentials {
  const cert = given(files, contents, "tlsCertFile");
  const key = given(files, contents, "tlsKeyFile");
  const ca = contents.tlsClientCaFile;
  const chain = certificatesOf(cert, "tlsCertFile", files);
  const privateKey = privateKeyOf(key, files);
  if (!chain[0]?.checkPrivateKey(privateKey)) {
    throw new Error(
      `tlsKeyFile: the key in ${files.tlsKeyFile} does not belong to the first certificate in ${files.tlsCertFile}`,
    );
  }
  if (ca) {
    certificatesOf(ca, "tlsClientCaFile", files);
  }
  try {
    createSecureContext({ cert, key, ...(ca && { ca }) });
  } catch (error) {
    throw new Error(`tlsCertFile: ${files.tlsCertFile} cannot be served with: ${messageOf(error)}`, { cause: error });
  }
  const expiresAtMs = Math.min(...chain.map(({ validToDate }) => validToDate.getTime()));
  return { cert, key, ...(ca && { ca }), expiresAtMs };
}

/** The text of an error about a file that cannot be read. */
export function unreadable(key: TlsFileKey, path: string, error: unknown): Error {
  const { code } = error as NodeJS.ErrnoException;
  const why = code === "ENOENT" ? "does not exist" : `cannot be read: ${messageOf(error)}`;
  return new Error(`${key}: ${path} ${why}`, { cause: error });
}

function given(files: TlsFiles, contents: TlsContents, key: "tlsCertFile" | "tlsKeyFile"): Buffer {
  const content = contents[key];
  if (content === undefined) {
    const other = tlsFileKeys.find((one) => files[one] !== "");
    throw new Error(`${key} is not set; ${other} needs it`);
  }
  return content;
}

function certificatesOf(pem: Buffer, key: TlsFileKey, files: TlsFiles): X509Certificate[] {
  try {
    const certificates = (pem.toString("latin1").match(pemCertificate) ?? []).map((one) => new X509Certificate(one));
    if (certificates.length > 0) {
      return certificates;
    }
  } catch (error) {
    throw new Error(`${key}: ${files[key]} holds a certificate that is broken: ${messageOf(error)}`, { cause: error });
  }
  throw new Error(`${key}: ${files[key]} holds no certificate in PEM form`);
}

function privateKeyOf(pem: Buffer, { tlsKeyFile }: TlsFiles): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const why = pem.includes("ENCRYPTED") ? "a key with a passphrase" : "no private key in PEM form";
    throw new Error(`tlsKeyFile: ${tlsKeyFile} holds ${why}`, { cause: error });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
