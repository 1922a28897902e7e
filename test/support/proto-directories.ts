import { fileURLToPath } from "node:url";

/** Where programs that read protos find them and what they import; the latter is written by the build, which `npm ci` runs. */
export const protoDirectories = ["proto", "dist/protovalidate"].map((path) =>
  fileURLToPath(new URL(`../../${path}`, import.meta.url)),
);
