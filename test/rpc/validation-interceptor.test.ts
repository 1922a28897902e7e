import { create, createFileRegistry, type DescService, setExtension } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldOptionsSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { expect, test } from "vitest";
import { createValidationInterceptor } from "../../src/rpc/validation-interceptor.ts";

/** A service with one method, the text of whose request has to match a pattern, or to be another number than 0. */
function serviceWith(rule: "pattern" | "number"): DescService {
  const options = create(FieldOptionsSchema);
  setExtension(options, fieldRules, {
    type:
      rule === "pattern"
        ? { case: "string", value: { pattern: "^[a-z]*$" } }
        : { case: "int32", value: { notIn: [0] } },
  } as never);
  const text = {
    name: "text",
    number: 1,
    type: FieldDescriptorProto_Type.STRING,
    label: FieldDescriptorProto_Label.OPTIONAL,
    options,
  };
  const file = {
    name: "a.proto",
    package: "a",
    syntax: "proto3",
    messageType: [{ name: "Request", field: [text] }, { name: "Answer" }],
    service: [{ name: "Service", method: [{ name: "Ask", inputType: ".a.Request", outputType: ".a.Answer" }] }],
  };
  const service = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] })).getService("a.Service");
  if (!service) throw new Error("there is no service");
  return service;
}

test("rules that cannot be compiled stop the start, before any call", () => {
  expect(() => createValidationInterceptor([serviceWith("number")])).toThrow(/text/);
  expect(() => createValidationInterceptor([serviceWith("pattern")])).not.toThrow();
});
