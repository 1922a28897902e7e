import type * as http from "node:http";
import type * as http2 from "node:http2";

/** A request of either HTTP version. */
export type AnyRequest = http.IncomingMessage | http2.Http2ServerRequest;

/** The answer to a request of either HTTP version. */
export type AnyResponse = http.ServerResponse | http2.Http2ServerResponse;

/** Answers a request of either HTTP version. */
export type RequestHandler = (request: AnyRequest, response: AnyResponse) => void;
