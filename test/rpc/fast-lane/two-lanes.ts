import { once } from "node:events";
import * as http2 from "node:http2";
import type { ConnectError } from "@connectrpc/connect";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { createAccessControl } from "../../../src/access/access-control.ts";
import { listen } from "../../../src/listener/listener.ts";
import type { OperationsService } from "../../../src/operations/operations-service.ts";
import type { CallRecorder } from "../../../src/rpc/call-recorder.ts";
import { callSubject } from "../../../src/rpc/call-subject.ts";
import { createEdge } from "../../../src/rpc/edge.ts";
import { HealthState } from "../../../src/rpc/health-state.ts";
import { roleTokenSettings } from "../../support/access-files.ts";
import { listenerLimits } from "../../support/listener-limits.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testConfig } from "../../support/test-config.ts";
import { createHttp1Caller, type Http1Outcome } from "./http1-call.ts";

/** One call, byte by byte. */
export interface LaneCall {
  readonly headers: http2.OutgoingHttpHeaders;
  /** The body, in the pieces it is sent in. */
  readonly chunks: readonly Uint8Array[];
  /**
   * What the client does after that: it waits for the answer, resets the stream, or loses the connection without having
   * ended the request; over HTTP/1.1 a reset is a lost connection, too. Default "end".
   */
  readonly finally?: "end" | "end and reset" | "lose";
  /** Whether over HTTP/1.1 the headers tell the length of the body. Default: it comes in chunks. */
  readonly isMeasured?: boolean;
}

/** What is seen of a call from both sides. */
export interface Outcome {
  /** Of an error also its trailers: whether they come apart from the headers is told by `isTrailersOnly`. */
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  /** Of an answer without an error. */
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly rstCode: number;
  /** What the server recorded of it. */
  readonly records: readonly object[];
}

/** One way into a registry. `isTrailersOnly`: the answer was a single frame of headers. */
export interface Lane {
  call(call: LaneCall): Promise<{ readonly outcome: Outcome; readonly isTrailersOnly: boolean }>;
  /** The same over HTTP/1.1. */
  callHttp1(call: LaneCall): Promise<{ readonly outcome: Outcome & Http1Outcome; readonly isTrailersOnly: false }>;
}

/** What a message may have, small enough to be exceeded. */
export const maxMessageBytes = 4_096;

/** Opens two ports to one registry that differ in nothing but the lane that answers unary calls. */
export async function openTwoLanes(operations: OperationsService): Promise<{ fast: Lane; plain: Lane }> {
  const config = testConfig(await temporaryDirectory(), { maxMessageBytes, ...(await roleTokenSettings()) });
  const log = pino({ level: "silent" });
  const open = async (fastLane: boolean): Promise<Lane> => {
    const { recorder, take, hasBegun } = createListRecorder();
    const jwt = { issuer: "", audience: "", algorithms: [] };
    const { handler, streamHandler } = createEdge({
      operations,
      accessControl: createAccessControl({ ...config, jwt, log, now: Date.now }),
      serverId: "two-lanes",
      health: new HealthState(),
      stopping: new AbortController().signal,
      log,
      recorder,
      options: { ...config, fastLane },
    });
    const listener = await listen(handler, { host: "127.0.0.1", port: 0, limits: listenerLimits(), streamHandler });
    const session = http2.connect(`http://127.0.0.1:${listener.port}`);
    session.on("error", () => {});
    onTestFinished(async () => {
      session.destroy();
      await listener.close(0);
    });
    await once(session, "connect");
    const overHttp1 = createHttp1Caller(listener.port, hasBegun);
    return {
      call: (call) => makeCall(session, call, take),
      callHttp1: async (call) => {
        const seen = await overHttp1(call);
        const isRecorded = (call.finally ?? "end") !== "end";
        return { outcome: { ...seen, records: await take(isRecorded) }, isTrailersOnly: false };
      },
    };
  };
  return { fast: await open(true), plain: await open(false) };
}

async function makeCall(
  session: http2.ClientHttp2Session,
  { headers, chunks, finally: ending = "end" }: LaneCall,
  takeRecords: (isRecorded: boolean) => Promise<object[]>,
): ReturnType<Lane["call"]> {
  const stream = session.request({ ":method": "POST", te: "trailers", ...headers });
  let answered: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  let isTrailersOnly = false;
  const body: Buffer[] = [];
  stream.on("error", () => {});
  stream.on("response", (received, flags) => {
    answered = received;
    isTrailersOnly = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
  });
  stream.on("trailers", (received) => {
    trailers = received;
  });
  stream.on("data", (chunk: Buffer) => body.push(chunk));
  const closed = once(stream, "close");
  for (const chunk of chunks) {
    // Whoever is answered before the end may write no more.
    await new Promise((resolve) => (stream.writable ? stream.write(chunk, resolve) : resolve(undefined)));
  }
  if (ending !== "lose") {
    stream.end();
  }
  if (ending !== "end") {
    // The server has what came before once it has answered a ping that was sent after it.
    await ping(session);
  }
  if (ending === "end and reset") {
    stream.close(http2.constants.NGHTTP2_CANCEL);
  } else if (ending === "lose") {
    session.destroy();
  }
  await closed;
  const isError = (trailers["grpc-status"] ?? "0") !== "0";
  const outcome = {
    headers: { ...withoutDate(answered), ...(isError && trailers) },
    body: Buffer.concat(body).toString("base64"),
    trailers: isError ? {} : { ...trailers },
    rstCode: stream.rstCode ?? 0,
    records: await takeRecords(ending !== "end"),
  };
  return { outcome, isTrailersOnly };
}

function ping(session: http2.ClientHttp2Session): Promise<unknown> {
  return new Promise((resolve) => session.ping(resolve));
}

function withoutDate({ date: _, ...headers }: http2.IncomingHttpHeaders): http2.IncomingHttpHeaders {
  return headers;
}

/**
 * Keeps what is recorded, without what differs from call to call. `take` waits for the end of a call that has begun,
 * and if `isRecorded` for the beginning, too.
 */
function createListRecorder() {
  let records: object[] = [];
  let first = Promise.withResolvers<void>();
  let open: PromiseWithResolvers<void> | undefined;
  const add = (record: object) => {
    records.push(record);
    first.resolve();
  };
  const errorOf = (error: ConnectError | undefined) =>
    error && { code: error.code, message: error.rawMessage, details: error.details.length };
  const recorder: CallRecorder = {
    began: ({ name }) => {
      open = Promise.withResolvers();
      add({ began: name });
    },
    ended: ({ method, protocol, caller, request, answer, error }) => {
      const subject = callSubject(request, answer);
      add({ ended: method.name, protocol, caller, subject, error: errorOf(error) });
      open?.resolve();
    },
    refused: ({ path, method, error }) => add({ refused: path, method, error: errorOf(error) }),
  };
  return {
    recorder,
    /** Resolves with the first record of a call. */
    hasBegun: () => first.promise,
    take: async (isRecorded: boolean): Promise<object[]> => {
      if (isRecorded) {
        await first.promise;
      }
      await open?.promise;
      first = Promise.withResolvers();
      open = undefined;
      const taken = records;
      records = [];
      return taken;
    },
  };
}
