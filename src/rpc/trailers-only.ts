import type { Http2ServerResponse } from "node:http2";
import type { RequestHandler } from "../listener/request-handler.ts";

type HeaderValues = Readonly<Record<string, string | string[]>>;

/**
 * Makes a gRPC answer without a message the single frame that the protocol calls Trailers-Only. Sent as headers and
 * trailers apart, a client takes the headers for the beginning of an answer and never retries the call, whatever its
 * retry policy says (gRFC A6).
 */
export function withTrailersOnly(handler: RequestHandler): RequestHandler {
  return (request, response) => {
    if ("stream" in response && isGrpc(request.headers["content-type"])) {
      holdHeaders(response);
    }
    handler(request, response);
  };
}

/** Keeps headers back until there is a message or an end. */
function holdHeaders(response: Http2ServerResponse): void {
  const { addTrailers } = response;
  const writeHead = response.writeHead as (this: Http2ServerResponse, status: number) => Http2ServerResponse;
  const hold = (values: HeaderValues) => {
    for (const [name, value] of Object.entries(values)) {
      response.setHeader(name, value);
    }
  };
  response.writeHead = ((status: number, headers?: HeaderValues) => {
    if (headers === undefined) {
      // Node.js itself is about to write or to end.
      return writeHead.call(response, status);
    }
    response.statusCode = status;
    hold(headers);
    return response;
  }) as Http2ServerResponse["writeHead"];
  response.addTrailers = ((trailers: HeaderValues) => {
    if (response.headersSent) {
      addTrailers.call(response, trailers);
    } else {
      hold(trailers);
    }
  }) as Http2ServerResponse["addTrailers"];
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:\+|;|$)/.test(contentType);
}
