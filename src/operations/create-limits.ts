import { toBinary } from "@bufbuild/protobuf";
import { OperationMetadataSchema } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CreateOperationRequest } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { invalidField } from "./errors.ts";

/** How much one operation may bring along. */
export interface CreateLimits {
  /** Labels; the protocol allows 64. */
  readonly maxLabels: number;
  /** Metadata as it is encoded, with its parameters, in bytes. */
  readonly maxMetadataBytes: number;
}

/** Refuses a CreateOperationRequest that is well-formed, but brings more than this server keeps. */
export function checkCreateLimits(
  { labels, metadata }: CreateOperationRequest,
  { maxLabels, maxMetadataBytes }: CreateLimits,
): void {
  const count = Object.keys(labels).length;
  if (count > maxLabels) {
    throw invalidField("labels", `has ${count} labels; at most ${maxLabels} are allowed`);
  }
  if (metadata) {
    const bytes = toBinary(OperationMetadataSchema, metadata).length;
    if (bytes > maxMetadataBytes) {
      throw invalidField(
        "metadata",
        `has ${bytes} bytes; at most ${maxMetadataBytes} are allowed, so pass large data by reference`,
      );
    }
  }
}
