import { setTimeout as pause } from "node:timers/promises";
import { type Message as AnyMessage, create, type DescMethod, type Registry } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { type Code, ConnectError, type HandlerContext } from "@connectrpc/connect";

/** A header as the suite's messages have it. */
interface SuiteHeader {
  readonly name: string;
  readonly value: readonly string[];
}

/** The suite's UnaryRequest and IdempotentUnaryRequest. */
interface SuiteRequest extends AnyMessage {
  readonly responseDefinition?: {
    readonly responseHeaders: readonly SuiteHeader[];
    readonly responseTrailers: readonly SuiteHeader[];
    readonly responseDelayMs: number;
    readonly response:
      | { readonly case: "responseData"; readonly value: Uint8Array }
      | { readonly case: "error"; readonly value: SuiteError }
      | { readonly case: undefined };
  };
}

interface SuiteError {
  readonly code: Code;
  readonly message?: string;
  readonly details: readonly Any[];
}

/** Does what a request of the conformance suite asks for: answers it, or fails, and tells what it has seen. */
export async function answerSuite(
  registry: Registry,
  { input, output }: DescMethod,
  request: SuiteRequest,
  context: HandlerContext,
): Promise<AnyMessage> {
  const { responseDefinition: wanted } = request;
  for (const { name, value } of wanted?.responseHeaders ?? []) {
    value.forEach((one) => void context.responseHeader.append(name, one));
  }
  for (const { name, value } of wanted?.responseTrailers ?? []) {
    value.forEach((one) => void context.responseTrailer.append(name, one));
  }
  const timeoutMs = context.timeoutMs();
  const seen = {
    requestHeaders: headersOf(context.requestHeader),
    requests: [anyPack(input, request)],
    ...(timeoutMs !== undefined && { timeoutMs: BigInt(Math.round(timeoutMs)) }),
    ...(context.requestMethod === "GET" && {
      connectGetInfo: { queryParams: headersOf(new URL(context.url).searchParams) },
    }),
  };
  await pause(wanted?.responseDelayMs ?? 0, undefined, { signal: context.signal });
  if (wanted?.response.case === "error") {
    const { code, message, details } = wanted.response.value;
    const error = new ConnectError(message ?? "", code);
    const seenType = registry.getMessage("connectrpc.conformance.v1.ConformancePayload.RequestInfo");
    error.details = [
      ...details.map(({ typeUrl, value }) => ({ type: typeUrl.split("/").at(-1) ?? "", value })),
      ...(seenType ? [{ desc: seenType, value: seen }] : []),
    ];
    throw error;
  }
  const data = wanted?.response.case === "responseData" ? wanted.response.value : new Uint8Array();
  return create(output, { payload: { data, requestInfo: seen } } as Record<string, unknown>);
}

function headersOf(pairs: Iterable<[string, string]>): SuiteHeader[] {
  const values = new Map<string, string[]>();
  for (const [name, value] of pairs) {
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return [...values].map(([name, value]) => ({ name, value }));
}
