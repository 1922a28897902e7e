import type { Logger } from "pino";
import { type TlsFiles, tlsFileKeys } from "./tls-files.ts";
import { readTlsFiles, type TlsReload } from "./tls-reload.ts";

/** Whether a client must show a certificate: it is not asked, it may, it must. */
export type ClientAuth = "none" | "optional" | "required";

/** What a listener needs for TLS. */
export interface ListenerTls {
  readonly files: TlsReload;
  readonly clientAuth: ClientAuth;
}

/** The settings of TLS. */
export interface TlsSettings extends TlsFiles {
  /** "auto", or a ClientAuth. */
  readonly tlsClientAuth: string;
}

/**
 * What the settings say of TLS; undefined when no file is set, which means plaintext. Rejects with an Error that names
 * the setting and the file that are at fault.
 */
export async function tlsFromSettings(settings: TlsSettings, log: Logger): Promise<ListenerTls | undefined> {
  const clientAuth = clientAuthOf(settings);
  if (tlsFileKeys.every((key) => settings[key] === "")) {
    return undefined;
  }
  return { files: await readTlsFiles({ files: settings, log }), clientAuth };
}

function clientAuthOf({ tlsClientAuth, tlsClientCaFile }: TlsSettings): ClientAuth {
  if (tlsClientAuth === "auto") {
    return tlsClientCaFile === "" ? "none" : "required";
  }
  if (tlsClientAuth !== "none" && tlsClientCaFile === "") {
    throw new Error(`tlsClientAuth is ${tlsClientAuth}; it needs tlsClientCaFile, which is not set`);
  }
  return tlsClientAuth as ClientAuth;
}
