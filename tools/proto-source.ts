import type { DescEnum, DescExtension, DescField, DescFile, DescMessage } from "@bufbuild/protobuf";
import { FieldDescriptorProto_Label, FieldDescriptorProto_Type } from "@bufbuild/protobuf/wkt";

/**
 * Writes a descriptor as the source of a proto2 file that declares the same names, types and numbers. Options, comments
 * and reserved ranges are left out: it is for compilers that only have to understand who imports it.
 */
export function protoSource(file: DescFile): string {
  return [
    'syntax = "proto2";',
    `package ${file.proto.package};`,
    ...file.proto.dependency.map((name) => `import "${name}";`),
    ...file.enums.map(enumSource),
    ...file.messages.map(messageSource),
    ...file.extensions.map(extensionSource),
    "",
  ].join("\n");
}

function messageSource(message: DescMessage): string {
  const { proto, fields, oneofs, nestedEnums, nestedMessages } = message;
  return [
    `message ${message.name} {`,
    ...nestedEnums.map(enumSource),
    ...nestedMessages.map(messageSource),
    ...fields.filter(({ oneof }) => !oneof).map((field) => `  ${label(field)} ${fieldSource(field)}`),
    ...oneofs.map((oneof) => `  oneof ${oneof.name} {\n${oneof.fields.map(fieldSource).join("\n")}\n  }`),
    ...proto.extensionRange.map(({ start, end }) => `  extensions ${start} to ${end > 0x1fffffff ? "max" : end - 1};`),
    "}",
  ].join("\n");
}

function extensionSource(extension: DescExtension): string {
  return `extend .${extension.extendee.typeName} {\n  ${label(extension)} ${fieldSource(extension)}\n}`;
}

function enumSource({ name, values }: DescEnum): string {
  return `enum ${name} {\n${values.map((value) => `  ${value.name} = ${value.number};`).join("\n")}\n}`;
}

function fieldSource({ proto }: DescField | DescExtension): string {
  // FieldDescriptorProto.Type has the keywords as names.
  const type = proto.typeName || FieldDescriptorProto_Type[proto.type]?.toLowerCase();
  return `${type} ${proto.name} = ${proto.number};`;
}

function label({ proto }: DescField | DescExtension): string {
  return FieldDescriptorProto_Label[proto.label]?.toLowerCase() ?? "";
}
