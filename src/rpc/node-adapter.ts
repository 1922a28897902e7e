import type * as http from "node:http";
import type * as http2 from "node:http2";
import { Code, ConnectError, createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import {
  type ConnectNodeAdapterOptions,
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Logger } from "pino";
import { CallError } from "../operations/errors.ts";
import { connectErrorFrom, internalError } from "./call-errors.ts";
import type { RequestHandler } from "./listener.ts";
import { explain } from "./refusal-details.ts";
import { protocolOf, refusal } from "./rpc-protocol.ts";

/** A call that ended before any interceptor saw it, or after all of them had. */
export interface RefusedCall {
  /** "/longhaul.v1.OperationsService/GetOperation"; whatever the client asked for, so its length is the client's. */
  readonly path: string;
  /** The method, if there is one of that path. */
  readonly method?: string;
  readonly error: ConnectError;
}

/** What the adapter is made of. */
export interface NodeAdapterOptions extends Omit<ConnectNodeAdapterOptions, "fallback" | "requestPathPrefix"> {
  readonly log: Logger;
  /** Told of every call that is refused where no interceptor could see it. Default nobody. */
  readonly onRefused?: (call: RefusedCall) => void;
}

type Request = http.IncomingMessage | http2.Http2ServerRequest;
type Response = http.ServerResponse | http2.Http2ServerResponse;

/**
 * Answers HTTP requests as RPCs. Unlike the adapter of connect-node it gives the errors of the protocol layer the
 * details that all errors have, answers calls of unknown methods in the caller's own protocol, and never lets a request
 * that makes no sense throw into the server.
 */
export function createNodeAdapter({ routes, log, onRefused, ...options }: NodeAdapterOptions): RequestHandler {
  const router = createConnectRouter({ acceptCompression: [compressionGzip, compressionBrotli], ...options });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const { jsonOptions } = options;

  /** `status` is for those who are no RPC client. */
  const refuse = async (request: Request, response: Response, status: number, refused: CallError): Promise<void> => {
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
  const serve = async (handler: UniversalHandler, call: UniversalServerRequest, response: Response): Promise<void> => {
    const { requestPath: path, method } = handler;
    const told = (error: ConnectError) => onRefused?.({ path, method: method.name, error });
    const answer = await explain(await handler(call), method.methodKind === "unary", jsonOptions, told);
    await universalResponseToNodeResponse(answer, response);
  };
  const answer = async (request: Request, response: Response): Promise<void> => {
    const path = pathOf(request);
    const handler = handlers.get(path);
    if (!handler) {
      return refuse(request, response, 404, new CallError("UNKNOWN_METHOD", `there is no method ${path}`));
    }
    let call: UniversalServerRequest;
    try {
      call = universalRequestFromNodeRequest(request, response, undefined, options.contextValues?.(request));
    } catch {
      return refuse(request, response, 400, new CallError("INVALID_MESSAGE", "the request names no valid authority"));
    }
    return serve(handler, call, response);
  };

  return (request, response) => {
    answer(request, response).catch((error: unknown) => {
      const { code } = ConnectError.from(error);
      // Else the caller has gone.
      if (code !== Code.Aborted && code !== Code.Canceled) {
        log.error({ err: error, path: pathOf(request) }, "a call could not be answered");
        refuse(request, response, 500, internalError()).catch(() => {});
      }
    });
  };
}

function pathOf(request: Request): string {
  return (request.url ?? "").split("?", 1)[0] ?? "";
}
