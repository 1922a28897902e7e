import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { onTestFinished } from "vitest";

/** A span as a collector gets it. Ids are in hexadecimal; an empty parentSpanId is that of a root. */
export interface ReceivedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  /** SpanKind of OTLP: 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}

/** A collector of traces over OTLP, http/protobuf. */
export interface OtlpCollector {
  readonly url: string;
  /** Headers of the last export. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** What has come so far. */
  readonly spans: readonly ReceivedSpan[];
}

/** Starts a collector on a free port; it stops when the running test ends. */
export async function startOtlpCollector(): Promise<OtlpCollector> {
  const spans: ReceivedSpan[] = [];
  const collector = { url: "", headers: {} as OtlpCollector["headers"], spans };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      const isWanted = request.url === "/v1/traces" && request.headers["content-type"] === "application/x-protobuf";
      if (isWanted) {
        collector.headers = request.headers;
        spans.push(...spansOf(request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body));
      }
      response.writeHead(isWanted ? 200 : 404, { "content-type": "application/x-protobuf" }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  collector.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return collector;
}

/** Reads an ExportTraceServiceRequest by the field numbers of opentelemetry/proto/trace/v1/trace.proto. */
function spansOf(request: Uint8Array): ReceivedSpan[] {
  return messages(request, 1).flatMap((resourceSpans) => {
    const service = attributesOf(messages(resourceSpans, 1)[0] ?? new Uint8Array(), 1)["service.name"] ?? "";
    return messages(resourceSpans, 2)
      .flatMap((scopeSpans) => messages(scopeSpans, 2))
      .map((span) => ({
        service,
        traceId: hex(messages(span, 1)[0]),
        spanId: hex(messages(span, 2)[0]),
        parentSpanId: hex(messages(span, 4)[0]),
        name: text(messages(span, 5)[0]),
        kind: Number(fieldsOf(span).find(({ number }) => number === 6)?.value ?? 0),
        attributes: attributesOf(span, 9),
        links: messages(span, 13).map((link) => ({
          traceId: hex(messages(link, 1)[0]),
          spanId: hex(messages(link, 2)[0]),
        })),
      }));
  });
}

interface Field {
  readonly number: number;
  readonly value: bigint | Uint8Array;
}

function messages(message: Uint8Array, field: number): Uint8Array[] {
  return fieldsOf(message).flatMap(({ number, value }) =>
    number === field && value instanceof Uint8Array ? [value] : [],
  );
}

/** Those whose value is a text. */
function attributesOf(message: Uint8Array, field: number): Record<string, string> {
  const pairs = messages(message, field).map((pair) => [text(messages(pair, 1)[0]), messages(pair, 2)[0]] as const);
  return Object.fromEntries(pairs.map(([key, value]) => [key, text(messages(value ?? new Uint8Array(), 1)[0])]));
}

function fieldsOf(message: Uint8Array): Field[] {
  const reader = new BinaryReader(message);
  const fields: Field[] = [];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) {
      fields.push({ number, value: reader.bytes() });
    } else if (type === WireType.Varint) {
      fields.push({ number, value: BigInt(reader.uint64()) });
    } else {
      reader.skip(type);
    }
  }
  return fields;
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString("hex");
}

function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString("utf8");
}
