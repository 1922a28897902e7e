import { once } from "node:events";
import * as http2 from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { CallError } from "../../src/operations/errors.ts";
import { connectRetryingClient } from "../support/retrying-client.ts";
import { connectTestClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";

/** The frames that carry headers of the answer to a gRPC call. */
async function answerTo(url: string, method: string, type = "application/grpc") {
  const session = http2.connect(url);
  onTestFinished(() => session.close());
  const path = `/longhaul.v1.OperationsService/${method}`;
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": type, te: "trailers" });
  const seen: { headers?: http2.IncomingHttpHeaders; trailers?: http2.IncomingHttpHeaders; isWhole?: boolean } = {};
  stream.on("response", (headers, flags) => {
    Object.assign(seen, { headers, isWhole: (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0 });
  });
  stream.on("trailers", (trailers) => Object.assign(seen, { trailers }));
  stream.resume();
  stream.end(Buffer.alloc(5));
  await once(stream, "close");
  return seen;
}

describe("over gRPC", () => {
  test("an error is one frame of headers, and its message can be read", async () => {
    const { url } = await startTestServer();
    const { headers, trailers, isWhole } = await answerTo(url, "GetOperation");
    expect(isWhole).toBe(true);
    expect(trailers).toBeUndefined();
    expect(headers).toMatchObject({ ":status": 200, "grpc-status": "3", "grpc-status-details-bin": expect.anything() });
    expect(headers?.["grpc-message"]).toMatch(/^operation_id: "" is not an operation id; they look like/);
  });

  test("an answer has headers first and trailers last", async () => {
    const { url } = await startTestServer();
    const { headers, trailers, isWhole } = await answerTo(url, "CountOperations");
    expect(isWhole).toBe(false);
    expect(headers).toMatchObject({ ":status": 200 });
    expect(headers).not.toHaveProperty("grpc-status");
    expect(trailers).toMatchObject({ "grpc-status": "0" });
  });

  test("gRPC-Web keeps its trailers in the body", async () => {
    const { url } = await startTestServer();
    const { headers } = await answerTo(url, "GetOperation", "application/grpc-web+proto");
    expect(headers).not.toHaveProperty("grpc-status");
  });

  test("a client's retry policy repeats a call that was refused as UNAVAILABLE", async () => {
    const { port, operations } = await startTestServer();
    const count = operations.countOperations.bind(operations);
    let refusals = 2;
    operations.countOperations = async (filter) => {
      if (refusals-- > 0) {
        throw new CallError("STORE_UNAVAILABLE", "not yet");
      }
      return count(filter);
    };
    const { call } = connectRetryingClient([port]);
    expect(await call("CountOperations", {})).toMatchObject({ total: 0 });
    expect(refusals).toBe(-1);
  });

  test("texts beyond ASCII, and percent signs, arrive as they were", async () => {
    const { url, operations } = await startTestServer();
    const message = "50 % der Läufe: „später“ 🚂\n";
    operations.countOperations = async () => {
      throw new CallError("STORE_UNAVAILABLE", message);
    };
    await expect(connectTestClient(url).countOperations({})).rejects.toMatchObject({ rawMessage: message });
  });
});

describe("a deadline that is further away than a timer can tell", () => {
  test.each([
    ["grpc-timeout", "99999999H", "application/grpc"],
    ["connect-timeout-ms", "9999999999", "application/json"],
  ])("is none: %s %s", async (name, value, type) => {
    const { url, operations } = await startTestServer();
    // Longer than a timer that fires at once.
    operations.countOperations = async () => sleep(30, []);
    const body = type === "application/json" ? "{}" : Buffer.alloc(5);
    const session = http2.connect(url);
    onTestFinished(() => session.close());
    const path = "/longhaul.v1.OperationsService/CountOperations";
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": type,
      te: "trailers",
      [name]: value,
    });
    const ends: http2.IncomingHttpHeaders[] = [];
    stream.on("response", (headers) => ends.push(headers));
    stream.on("trailers", (headers) => ends.push(headers));
    stream.resume();
    stream.end(body);
    await once(stream, "close");
    expect(ends[0]).toMatchObject({ ":status": 200 });
    expect(Number(ends.at(-1)?.["grpc-status"] ?? 0)).toBe(0);
  });
});
