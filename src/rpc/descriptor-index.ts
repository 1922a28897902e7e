import { type DescExtension, type DescFile, type DescMessage, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** The descriptors of some files and of all they import, by name. */
export interface DescriptorIndex {
  /** The file of a name, "longhaul/v1/operation.proto". */
  file(name: string): DescFile | undefined;
  /** The file that declares a symbol: a message, enum, enum value, extension, service, method, field or oneof. */
  fileOfSymbol(name: string): DescFile | undefined;
  /** The extensions of a message, by number; undefined when there is no such message. */
  extensionsOf(typeName: string): ReadonlyMap<number, DescExtension> | undefined;
}

/** The name by which a file is imported; descriptors of protobuf-es have it without its ending. */
export function fileName(file: DescFile): string {
  return file.proto.name;
}

/** The files a file imports, and theirs, and itself; each once, itself first. */
export function withImports(...roots: readonly DescFile[]): DescFile[] {
  const found = new Set<DescFile>(roots);
  // A set is iterated in the order of insertion, and over what is added meanwhile.
  for (const { dependencies } of found) {
    for (const dependency of dependencies) {
      found.add(dependency);
    }
  }
  return [...found];
}

/** A file as a serialized google.protobuf.FileDescriptorProto. */
export function fileBytes(file: DescFile): Uint8Array {
  return toBinary(FileDescriptorProtoSchema, file.proto);
}

/** Indexes the files and all they import. */
export function createDescriptorIndex(roots: readonly DescFile[]): DescriptorIndex {
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescExtension>>();
  const extensionsFor = (typeName: string) => {
    const known = extensions.get(typeName) ?? new Map<number, DescExtension>();
    extensions.set(typeName, known);
    return known;
  };
  const addMembers = (file: DescFile, { typeName, fields, oneofs }: DescMessage) => {
    extensionsFor(typeName);
    for (const { name } of [...fields, ...oneofs]) {
      symbols.set(`${typeName}.${name}`, file);
    }
  };
  for (const file of withImports(...roots)) {
    files.set(fileName(file), file);
    for (const type of nestedTypes(file)) {
      symbols.set(type.typeName, file);
      switch (type.kind) {
        case "message":
          addMembers(file, type);
          break;
        case "enum":
          for (const { name } of type.values) {
            // Values are declared in the scope of their enum's parent.
            symbols.set(type.typeName.slice(0, type.typeName.lastIndexOf(".") + 1) + name, file);
          }
          break;
        case "service":
          for (const { name } of type.methods) {
            symbols.set(`${type.typeName}.${name}`, file);
          }
          break;
        case "extension":
          extensionsFor(type.extendee.typeName).set(type.number, type);
          break;
      }
    }
  }
  return {
    file: (name) => files.get(name),
    fileOfSymbol: (name) => symbols.get(name.replace(/^\./, "")),
    extensionsOf: (typeName) => extensions.get(typeName.replace(/^\./, "")),
  };
}
