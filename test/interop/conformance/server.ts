import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  create,
  createFileRegistry,
  type DescMessage,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  ConnectError,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { pino } from "pino";
import { listen } from "../../../src/listener/listener.ts";
import { tlsFromSettings } from "../../../src/listener/listener-tls.ts";
import { createCallRecorder, noCallMeter } from "../../../src/rpc/call-recorder.ts";
import { createEdgeInterceptors } from "../../../src/rpc/edge.ts";
import type { PortHandlers } from "../../../src/rpc/entrance.ts";
import { createFastLane } from "../../../src/rpc/fast-lane/fast-lane.ts";
import { acceptCompression, createNodeAdapter } from "../../../src/rpc/node-adapter.ts";
import { testConfig } from "../../support/test-config.ts";
import { answerSuite } from "./service.ts";

// The server that the conformance suite tests: the suite's own service behind the listener and the interceptors of
// longhaul, with the fast lane if told so. It reads what to be from standard input, writes where it is to standard output, and ends on SIGTERM.

/** The suite's ServerCompatRequest. */
interface ServerRequest extends Message {
  readonly useTls: boolean;
  readonly clientTlsCert: Uint8Array;
  readonly messageReceiveLimit: number;
  readonly serverCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
}

const prefix = "connectrpc.conformance.v1";
const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(process.env["CONFORMANCE_DESCRIPTORS"] ?? "")),
);
const typeNamed = (name: string): DescMessage => registry.getMessage(`${prefix}.${name}`) as DescMessage;

const failureKey = createContextKey<{ error?: unknown }>({});
/**
 * The suite compares errors to the letter, and longhaul gives every error its own details. So what the service has
 * thrown is put back, after all interceptors have seen it and turned it into an error of theirs.
 */
const putBack: Interceptor = (next) => async (request) => {
  const failure: { error?: unknown } = {};
  request.contextValues.set(failureKey, failure);
  try {
    return await next(request);
  } catch (error) {
    throw failure.error ?? error;
  }
};

const directory = mkdtempSync(join(tmpdir(), "longhaul-conformance-"));
const log = pino({ level: "silent" });
const input = process.stdin[Symbol.asyncIterator]();
const wanted = await readRequest();
const config = testConfig(directory, tlsSettings(wanted));
const service = registry.getService(`${prefix}.ConformanceService`);
if (!service) {
  throw new Error("the descriptors have no ConformanceService");
}
const methods = service.methods.filter(({ name }) => name === "Unary" || name === "IdempotentUnary");
const implementation = Object.fromEntries(
  methods.map((method) => [
    method.localName,
    async (request: Message, context: HandlerContext) => {
      try {
        return await answerSuite(registry, method, request, context);
      } catch (error) {
        if (error instanceof ConnectError) {
          context.values.get(failureKey).error = error;
        }
        throw error;
      }
    },
  ]),
);
const common = {
  log,
  acceptCompression,
  interceptors: [
    putBack,
    ...createEdgeInterceptors({
      accessControl: undefined,
      serverId: "conformance",
      log,
      recorder: createCallRecorder(log, noCallMeter),
      options: config,
    }),
  ],
  readMaxBytes: wanted.messageReceiveLimit || config.maxMessageBytes,
  writeMaxBytes: config.maxMessageBytes,
  jsonOptions: { registry },
};
const plainHandler = createNodeAdapter({
  ...common,
  routes: (router) => {
    for (const method of methods) {
      router.rpc(method as never, implementation[method.localName] as never);
    }
  },
});
const { handler, streamHandler }: PortHandlers = process.argv.includes("--fast-lane")
  ? createFastLane(plainHandler, {
      ...common,
      services: [{ service: { ...service, methods } as DescService, implementation: implementation as never }],
      contextValues: () => createContextValues(),
      onRefused: () => {},
    })
  : { handler: plainHandler };
const tls = await tlsFromSettings(config, log);
const listener = await listen(handler, { host: "127.0.0.1", port: 0, limits: config, tls, streamHandler });
tell({ host: "127.0.0.1", port: listener.port, ...(wanted.useTls && { pemCert: wanted.serverCreds?.cert }) });
await once(process, "SIGTERM");
await listener.close(0);
rmSync(directory, { recursive: true });
process.exit(0);

async function readRequest(): Promise<ServerRequest> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < 4 || bytes.length < 4 + bytes.readUInt32BE()) {
    const { value, done } = await input.next();
    if (done) {
      throw new Error("the suite has not said what to be");
    }
    bytes = Buffer.concat([bytes, value]);
  }
  return fromBinary(typeNamed("ServerCompatRequest"), new Uint8Array(bytes.subarray(4))) as unknown as ServerRequest;
}

function tell(response: Record<string, unknown>): void {
  const type = typeNamed("ServerCompatResponse");
  const bytes = toBinary(type, create(type, response));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  process.stdout.write(Buffer.concat([length, bytes]));
}

function tlsSettings({ useTls, serverCreds, clientTlsCert }: ServerRequest) {
  if (!useTls) {
    return {};
  }
  const file = (name: string, content: Uint8Array = new Uint8Array()) => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  };
  return {
    tlsCertFile: file("cert.pem", serverCreds?.cert),
    tlsKeyFile: file("key.pem", serverCreds?.key),
    ...(clientTlsCert.length > 0 && { tlsClientCaFile: file("client-ca.pem", clientTlsCert) }),
  };
}
