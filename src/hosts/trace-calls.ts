import type { DescMethod } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { context, type SpanAttributes, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { codeName } from "../operations/code-name.ts";
import { areSpansRecorded, linksOf, tracer } from "../tracing/spans.ts";
import { traceHeaders } from "../tracing/trace-context.ts";

/** Makes a call of a method; `headers` are those by which it goes on with the trace it belongs to. */
export type TracedCall = <T>(
  method: DescMethod,
  call: (headers: Readonly<Record<string, string>>) => Promise<T>,
) => Promise<T>;

/** Makes calls to a server go on with the trace they are made in, each under a span of its own where spans are recorded. */
export function traceCalls(url: string): TracedCall {
  const { hostname, port, protocol } = new URL(url);
  const server: SpanAttributes = {
    "rpc.system.name": "grpc",
    "server.address": hostname,
    "server.port": Number(port || (protocol === "https:" ? 443 : 80)),
  };
  return (desc, call) => (areSpansRecorded() ? inClientSpan(desc, server, call) : call(traceHeaders(context.active())));
}

async function inClientSpan<T>(
  { parent, name }: DescMethod,
  server: SpanAttributes,
  call: (headers: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> {
  const method = `${parent.typeName}/${name}`;
  const within = context.active();
  const span = tracer().startSpan(
    method,
    { kind: SpanKind.CLIENT, attributes: { ...server, "rpc.method": method }, links: linksOf(within) },
    within,
  );
  try {
    const answer = await call(traceHeaders(trace.setSpan(within, span)));
    span.setAttribute("rpc.status_code", "OK");
    return answer;
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    const name = codeName(code);
    span.setAttributes({ "rpc.status_code": name, "error.type": name });
    span.setStatus({ code: SpanStatusCode.ERROR, message: rawMessage });
    throw error;
  } finally {
    span.end();
  }
}
