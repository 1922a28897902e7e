import type { X509Certificate } from "node:crypto";

/** One entry of an alternative name as Node.js prints it: quoted when it could be mistaken for another one. */
const entryPattern = /([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;
/** SPIFFE-ID specification, section 2: trust domain in lower case, path segments that are not empty nor dots. */
const spiffePattern = /^spiffe:\/\/[a-z0-9._-]{1,255}((?:\/[A-Za-z0-9._-]+)+)$/;
/** Longest id by the specification, in bytes. */
const longestId = 2_048;

/**
 * The SPIFFE id of a certificate: its one URI among the alternative names. Undefined when it has none or several, or
 * one that is no valid id of a workload; such a certificate names nobody.
 */
export function spiffeIdOf(certificate: X509Certificate): string | undefined {
  const uris = uriNames(certificate.subjectAltName ?? "");
  const [id] = uris ?? [];
  return uris?.length === 1 && id !== undefined && isSpiffeId(id) ? id : undefined;
}

/** Whether a text is a SPIFFE id of a workload, "spiffe://trust-domain/path". */
export function isSpiffeId(text: string): boolean {
  const path = spiffePattern.exec(text)?.[1];
  return (
    path !== undefined &&
    text.length <= longestId &&
    path.split("/").every((segment) => segment !== "." && segment !== "..")
  );
}

/** The URIs among alternative names; undefined when they cannot be read for sure. */
function uriNames(names: string): string[] | undefined {
  const uris: string[] = [];
  entryPattern.lastIndex = 0;
  while (entryPattern.lastIndex < names.length) {
    const entry = entryPattern.exec(names);
    if (!entry) {
      return undefined;
    }
    if (entry[1] === "URI") {
      uris.push(entry[2] ?? "");
    }
  }
  return uris;
}
