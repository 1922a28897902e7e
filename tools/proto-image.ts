import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { protoSource } from "./proto-source.ts";

/**
 * Prepares the protos for buf, into node_modules/.cache, where buf.yaml and buf.gen.yaml find it, and into each folder
 * that is named:
 *
 * - protovalidate/buf/validate/validate.proto, which our protos import for their rules. No npm package has it as text,
 *   but protovalidate has its descriptor.
 * - longhaul.binpb, our protos as a descriptor set that does not import it: the rules stay, as options a reader need not
 *   know, and who generates from it needs no code of protovalidate.
 */
const cache = "node_modules/.cache/longhaul";
const folders = [cache, ...process.argv.slice(2)];
const rulesFile = file_buf_validate_validate.proto.name;

for (const folder of folders) {
  write(join(folder, "protovalidate", rulesFile), protoSource(file_buf_validate_validate));
}
const whole = join(cache, "with-rules.binpb");
execFileSync("buf", ["build", "proto", "--output", whole], { stdio: "inherit" });
const image = fromBinary(FileDescriptorSetSchema, readFileSync(whole));
image.file = image.file.filter(({ name }) => name !== rulesFile).map(withoutRulesImport);
for (const folder of folders) {
  write(join(folder, "longhaul.binpb"), toBinary(FileDescriptorSetSchema, image));
}

function withoutRulesImport(file: FileDescriptorProto): FileDescriptorProto {
  // publicDependency and weakDependency are indexes into what gets shorter here.
  if (file.publicDependency.length + file.weakDependency.length > 0) {
    throw new Error(`${file.name} has a public import, which this tool does not expect`);
  }
  return { ...file, dependency: file.dependency.filter((name) => name !== rulesFile) };
}

function write(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
