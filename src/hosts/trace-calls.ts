import { ConnectError, type Interceptor } from "@connectrpc/connect";
import { context, type SpanAttributes, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { codeName } from "../operations/code-name.ts";
import { linksOf, tracer } from "../tracing/spans.ts";
import { traceHeaders } from "../tracing/trace-context.ts";

/** Makes calls to a server go on with the trace they are made in, each under a span of its own. */
export function traceCalls(url: string): Interceptor {
  const { hostname, port, protocol } = new URL(url);
  const server: SpanAttributes = {
    "rpc.system.name": "grpc",
    "server.address": hostname,
    "server.port": Number(port || (protocol === "https:" ? 443 : 80)),
  };
  return (next) => async (request) => {
    const method = `${request.service.typeName}/${request.method.name}`;
    const within = context.active();
    const span = tracer().startSpan(
      method,
      { kind: SpanKind.CLIENT, attributes: { ...server, "rpc.method": method }, links: linksOf(within) },
      within,
    );
    for (const [name, value] of Object.entries(traceHeaders(trace.setSpan(within, span)))) {
      request.header.set(name, value);
    }
    try {
      const response = await next(request);
      span.setAttribute("rpc.status_code", "OK");
      return response;
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      const name = codeName(code);
      span.setAttributes({ "rpc.status_code": name, "error.type": name });
      span.setStatus({ code: SpanStatusCode.ERROR, message: rawMessage });
      throw error;
    } finally {
      span.end();
    }
  };
}
