import { Code, ConnectError, decodeBinaryHeader, encodeBinaryHeader } from "@connectrpc/connect";
import { Metadata } from "@grpc/grpc-js";

/**
 * Fetch headers as gRPC metadata. Values of keys that end in "-bin" are base64 in headers and bytes in metadata.
 * Throws a ConnectError INVALID_ARGUMENT naming the header whose value cannot travel.
 */
export function metadataFromHeaders(headers: Headers): Metadata {
  const metadata = new Metadata();
  headers.forEach((value, key) => {
    try {
      if (!key.endsWith("-bin")) metadata.add(key, value);
      // Headers joins repeated values with a comma, which base64 does not contain.
      else for (const part of value.split(",")) metadata.add(key, Buffer.from(decodeBinaryHeader(part.trim())));
    } catch (error) {
      throw new ConnectError(
        `header "${key}" cannot be sent: ${error instanceof Error ? error.message : String(error)}`,
        Code.InvalidArgument,
      );
    }
  });
  return metadata;
}

/** gRPC metadata as fetch headers; the other way round. */
export function headersFromMetadata(metadata: Metadata | undefined): Headers {
  const headers = new Headers();
  for (const key of Object.keys(metadata?.getMap() ?? {})) {
    for (const value of metadata?.get(key) ?? []) {
      headers.append(key, typeof value === "string" ? value : encodeBinaryHeader(value));
    }
  }
  return headers;
}
