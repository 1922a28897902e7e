import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CertificatePair } from "./certificates.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** Files of a TLS server that are replaced as Kubernetes does it: by moving one symbolic link. */
export interface TlsDirectory {
  /** For the configuration. */
  readonly settings: { readonly tlsCertFile: string; readonly tlsKeyFile: string; readonly tlsClientCaFile: string };
  /** Replaces all files at once; one that is left out is gone. */
  replace(files: Partial<CertificatePair & { ca: string }>): void;
}

/** Writes the files of a TLS server; removed when the running test ends. */
export async function tlsDirectory(pair: CertificatePair, ca?: string): Promise<TlsDirectory> {
  const root = await temporaryDirectory();
  let version = 0;
  const replace: TlsDirectory["replace"] = (files) => {
    version += 1;
    const directory = join(root, `..version-${version}`);
    mkdirSync(directory);
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(directory, `${name}.pem`), content);
    }
    symlinkSync(directory, join(root, "..next"));
    renameSync(join(root, "..next"), join(root, "..data"));
  };
  const path = (name: string) => join(root, "..data", `${name}.pem`);
  replace({ ...pair, ...(ca !== undefined && { ca }) });
  return {
    settings: {
      tlsCertFile: path("cert"),
      tlsKeyFile: path("key"),
      tlsClientCaFile: ca === undefined ? "" : path("ca"),
    },
    replace,
  };
}
