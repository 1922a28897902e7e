import { createPrivateKey, X509Certificate } from "node:crypto";
import { getCACertificates, type SecureContextOptions } from "node:tls";
import { type ChannelCredentials, credentials, experimental } from "@grpc/grpc-js";
import { type FileLog, watchFile } from "../files/watched-file.ts";
import { isLoopback } from "./loopback.ts";

/** Files with the credentials for calls. An empty text is unset. */
export interface CredentialFiles {
  /** One bearer token, and white space around it. */
  readonly callTokenFile: string;
  /** PEM: the client certificate, with those of its intermediate authorities. */
  readonly callCertificateFile: string;
  /** PEM: the key of the certificate, without a passphrase. */
  readonly callKeyFile: string;
  /** PEM: the authorities that servers' certificates may be signed by. Default: those the runtime trusts. */
  readonly callCaFile: string;
  /** A token may be sent in plaintext, over whatever network. */
  readonly insecure: boolean;
}

/** With what a client proves who it is. One for all connections of a process. */
export interface ClientCredentials {
  /** For connections over TLS. */
  readonly channel: ChannelCredentials;
  /** The same for a connection over TLS that is made now: what the files hold. */
  secureContext(): SecureContextOptions;
  /** The `authorization` header for calls to a server; undefined when there is no token. */
  authorization(): string | undefined;
  /** Why the token must not be sent to a server; undefined when it may, or there is none. */
  whyNotTo(url: URL): string | undefined;
  /** Has new connections use what the files hold now, if that is some time ago. Cheap; call it before each use. */
  refresh(): void;
}

type CaListener = (update: { caCertificate: Buffer }) => void;
type IdentityListener = (update: { certificate: Buffer; privateKey: Buffer }) => void;

const tokenPattern = /^[A-Za-z0-9._~+/-]+=*$/;

/**
 * Reads the credentials for calls; they are read again when the files change. `now` is in milliseconds since any fixed
 * instant. Throws an Error that names the file that cannot be used.
 */
export function createClientCredentials(
  files: CredentialFiles,
  log: FileLog,
  now: () => number = Date.now,
): ClientCredentials {
  const { callTokenFile, callCertificateFile, callKeyFile, callCaFile, insecure } = files;
  if ((callCertificateFile === "") !== (callKeyFile === "")) {
    throw new Error("callCertificateFile and callKeyFile are for each other; one of them is not set");
  }
  const watched = { log, now };
  const token =
    callTokenFile === ""
      ? undefined
      : watchFile({ ...watched, paths: [callTokenFile], what: "the token for calls", parse: tokenFrom });
  const identity =
    callCertificateFile === ""
      ? undefined
      : watchFile({
          ...watched,
          paths: [callCertificateFile, callKeyFile],
          what: "the client certificate for calls",
          parse: identityFrom,
        });
  const ca =
    callCaFile === ""
      ? undefined
      : watchFile({ ...watched, paths: [callCaFile], what: "the authorities for calls", parse: authoritiesFrom });
  const usualCa = { caCertificate: Buffer.from(getCACertificates("default").join("\n")) };
  const caUpdate = () => ca?.current() ?? usualCa;

  const caListeners = new Set<CaListener>();
  const identityListeners = new Set<IdentityListener>();
  let told: readonly unknown[] = [caUpdate(), identity?.current()];
  const provider = {
    addCaCertificateListener: (listener: CaListener) => {
      caListeners.add(listener);
      listener(caUpdate());
    },
    removeCaCertificateListener: (listener: CaListener) => void caListeners.delete(listener),
    addIdentityCertificateListener: (listener: IdentityListener) => {
      identityListeners.add(listener);
      if (identity) {
        listener(identity.current());
      }
    },
    removeIdentityCertificateListener: (listener: IdentityListener) => void identityListeners.delete(listener),
  };
  const channel =
    ca || identity
      ? experimental.createCertificateProviderChannelCredentials(provider, identity ? provider : null)
      : credentials.createSsl();
  return {
    channel,
    secureContext: () => {
      const own = identity?.current();
      return {
        ...(ca && { ca: ca.current().caCertificate }),
        ...(own && { cert: own.certificate, key: own.privateKey }),
      };
    },
    authorization: () => token?.current(),
    whyNotTo: ({ protocol, hostname, host }) =>
      token === undefined || protocol === "https:" || insecure || isLoopback(hostname)
        ? undefined
        : `the token of callTokenFile is not sent to ${host} in plaintext; use https, or LONGHAUL_INSECURE=true`,
    refresh: () => {
      const newCa = caUpdate();
      const newIdentity = identity?.current();
      if (newCa !== told[0]) {
        for (const listener of caListeners) {
          listener(newCa);
        }
      }
      if (newIdentity && newIdentity !== told[1]) {
        for (const listener of identityListeners) {
          listener(newIdentity);
        }
      }
      told = [newCa, newIdentity];
    },
  };
}

function tokenFrom(content: string): string {
  const token = content.trim();
  if (!tokenPattern.test(token)) {
    throw new Error("holds no bearer token");
  }
  return `Bearer ${token}`;
}

function identityFrom(certificate: string, privateKey: string): { certificate: Buffer; privateKey: Buffer } {
  let belongs: boolean;
  try {
    belongs = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey));
  } catch {
    throw new Error("there is no certificate and key in PEM form");
  }
  if (!belongs) {
    throw new Error("the key does not belong to the certificate");
  }
  return { certificate: Buffer.from(certificate), privateKey: Buffer.from(privateKey) };
}

function authoritiesFrom(content: string): { caCertificate: Buffer } {
  try {
    new X509Certificate(content);
  } catch {
    throw new Error("holds no certificate in PEM form");
  }
  return { caCertificate: Buffer.from(content) };
}
