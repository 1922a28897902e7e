import { Code, ConnectError, createConnectRouter, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import {
  type ConnectNodeAdapterOptions,
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Logger } from "pino";
import type { AnyRequest, AnyResponse, RequestHandler } from "../listener/request-handler.ts";
import { CallError } from "../operations/errors.ts";
import { connectErrorFrom, internalError } from "./call-errors.ts";
import { type RefusedCall, seenKey } from "./call-recorder.ts";
import { withoutLongTimeouts } from "./long-timeouts.ts";
import { explain } from "./refusal-details.ts";
import { protocolOf, refusal } from "./rpc-protocol.ts";
import { withTrailersOnly } from "./trailers-only.ts";

/** What the adapter is made of. */
export interface NodeAdapterOptions extends Omit<ConnectNodeAdapterOptions, "fallback" | "requestPathPrefix"> {
  readonly log: Logger;
  /** Told of every call that is refused where no interceptor could see it. Default nobody. */
  readonly onRefused?: (call: RefusedCall) => void;
}

/** The compressions that are spoken; the first one that a caller takes is used. */
export const acceptCompression = [compressionGzip, compressionBrotli];

/**
 * Answers HTTP requests as RPCs. Unlike the adapter of connect-node it gives the errors of the protocol layer the
 * details that all errors have, answers calls of unknown methods in the caller's own protocol, and never lets a request
 * that makes no sense throw into the server.
 */
export function createNodeAdapter({ routes, log, onRefused, ...options }: NodeAdapterOptions): RequestHandler {
  const router = createConnectRouter({ acceptCompression, ...options });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const { jsonOptions } = options;

  /** `status` is for those who are no RPC client. */
  const refuse = async (
    request: AnyRequest,
    response: AnyResponse,
    status: number,
    refused: CallError,
  ): Promise<void> => {
    const contentType = request.headers["content-type"] ?? "";
    const protocol = protocolOf(request.method ?? "", contentType, request.url ?? "");
    if (protocol !== undefined && !response.headersSent) {
      const error = connectErrorFrom(refused);
      onRefused?.({ path: pathOf(request), error });
      await universalResponseToNodeResponse(refusal(protocol, contentType, error, jsonOptions), response);
      return;
    }
    if (!response.headersSent) {
      response.statusCode = status;
    }
    response.end();
  };
  const serve = async (
    handler: UniversalHandler,
    call: UniversalServerRequest,
    response: AnyResponse,
  ): Promise<void> => {
    const { requestPath: path, method } = handler;
    const told = (error: ConnectError) => {
      if (!call.contextValues?.get(seenKey)) {
        onRefused?.({ path, method: method.name, error });
      }
    };
    const answer = await explain(await handler(call), method.methodKind === "unary", jsonOptions, told);
    await universalResponseToNodeResponse(answer, response);
  };
  const answer = async (request: AnyRequest, response: AnyResponse): Promise<void> => {
    const path = pathOf(request);
    const handler = handlers.get(path);
    if (!handler) {
      return refuse(request, response, 404, new CallError("UNKNOWN_METHOD", `there is no method ${path}`));
    }
    let call: UniversalServerRequest;
    try {
      const contextValues = options.contextValues?.(request) ?? createContextValues();
      replaceAuthority(request.headers);
      call = { ...universalRequestFromNodeRequest(request, response, undefined, contextValues), body: bodyOf(request) };
    } catch {
      return refuse(request, response, 400, new CallError("INVALID_MESSAGE", "the request names no valid authority"));
    }
    return serve(handler, call, response);
  };

  const handler: RequestHandler = (request, response) => {
    answer(request, response).catch((error: unknown) => {
      const { code } = ConnectError.from(error);
      // Else the caller has gone.
      if (code !== Code.Aborted && code !== Code.Canceled) {
        log.error({ err: error, path: pathOf(request) }, "a call could not be answered");
        refuse(request, response, 500, internalError()).catch(() => {});
      }
    });
  };
  return withoutLongTimeouts(withTrailersOnly(handler));
}

/**
 * Replaces an authority that no URL can have. gRPC clients write what they were told to connect to, which may be several
 * addresses, and nobody here asks for it.
 */
function replaceAuthority(headers: AnyRequest["headers"]): void {
  const name = headers[":authority"] === undefined ? "host" : ":authority";
  const authority = headers[name];
  if (authority !== undefined && !URL.canParse(`http://${authority}`)) {
    headers[name] = "localhost";
  }
}

/**
 * The body of a request. Who leaves it half read, because it is too large, must not end an HTTP/1.1 connection on which
 * the client sends its next call already; so the rest is read, and nobody gets it.
 */
async function* bodyOf(request: AnyRequest): AsyncGenerator<Uint8Array> {
  try {
    yield* request.iterator({ destroyOnReturn: false });
  } finally {
    request.resume();
  }
}

function pathOf(request: AnyRequest): string {
  return (request.url ?? "").split("?", 1)[0] ?? "";
}
