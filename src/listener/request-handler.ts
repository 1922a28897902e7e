import type * as http from "node:http";
import type * as http2 from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";

/** A request of either HTTP version. */
export type AnyRequest = http.IncomingMessage | http2.Http2ServerRequest;

/** The answer to a request of either HTTP version. */
export type AnyResponse = http.ServerResponse | http2.Http2ServerResponse;

/** Answers a request of either HTTP version. */
export type RequestHandler = (request: AnyRequest, response: AnyResponse) => void;

/** Answers an HTTP/2 request on its bare stream, if it is one of those it is for; false leaves it to others. */
export type StreamHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;
