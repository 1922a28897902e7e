import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { answer, frame, goodFrame, goodMessage, type Script, startRawHost } from "./raw-host.ts";
import { byBothWays, callerOf, good } from "./two-ways.ts";

const detailed = Buffer.from(
  toBinary(
    StatusSchema,
    create(StatusSchema, {
      code: Code.NotFound,
      message: "operation_id: 100 % wrong, ü",
      details: [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "OPERATION_NOT_FOUND" }))],
    }),
  ),
).toString("base64");
const trailersOnly =
  (trailers: Record<string, string>): Script =>
  (stream) =>
    stream.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
const inBytes = [...goodFrame].map((byte) => Buffer.from([byte]));

describe("what the lane reads itself", () => {
  test.each<[string, Script]>([
    ["a good answer", (stream) => answer(stream)],
    ["a good answer, byte by byte", (stream) => answer(stream, inBytes)],
    [
      "a good answer of the longer content type",
      (stream) => answer(stream, goodFrame, undefined, { "content-type": "application/grpc+proto" }),
    ],
    ["an empty message", (stream) => answer(stream, frame(new Uint8Array()))],
    ["an error without an answer", trailersOnly({ "grpc-status": "5", "grpc-message": "no such thing" })],
    [
      "an error with details",
      trailersOnly({ "grpc-status": "5", "grpc-message": "100%25 wrong, %C3%BC", "grpc-status-details-bin": detailed }),
    ],
    [
      "details that are none",
      trailersOnly({ "grpc-status": "9", "grpc-message": "x", "grpc-status-details-bin": "AAAA" }),
    ],
    ["an error after headers", (stream) => answer(stream, [], { "grpc-status": "13", "grpc-message": "50 %" })],
    [
      "an error after a message",
      (stream) => answer(stream, goodFrame, { "grpc-status": "14", "grpc-message": "too bad" }),
    ],
    ["a code that there is not", trailersOnly({ "grpc-status": "99" })],
    ["a status that is no number", trailersOnly({ "grpc-status": "fine" })],
  ])("%s", async (_, script) => {
    const { grpcJs, fastLane, ways } = await byBothWays(script);
    expect(fastLane).toEqual(grpcJs);
    expect(ways).toEqual(["fast lane"]);
  });
});

describe("what the lane leaves to grpc-js, and then lets alone", () => {
  test.each<[string, Script]>([
    ["a message that is cut off", (stream) => answer(stream, goodFrame.subarray(0, -1))],
    ["a prefix that is cut off", (stream) => answer(stream, goodFrame.subarray(0, 3))],
    ["no message", (stream) => answer(stream, [])],
    ["two messages", (stream) => answer(stream, [goodFrame, goodFrame])],
    ["no status", (stream) => answer(stream, goodFrame, { "x-other": "1" })],
    [
      "no trailers",
      (stream) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" });
        stream.end(goodFrame);
      },
    ],
    ["a status of 0 alone", trailersOnly({ "grpc-status": "0" })],
    ["a message that cannot be decoded", (stream) => answer(stream, frame(Buffer.from([0xff, 0xff])))],
    [
      "a compressed message",
      (stream) => answer(stream, frame(gzipSync(goodMessage), 1), undefined, { "grpc-encoding": "gzip" }),
    ],
    ["a compressed message that does not say how", (stream) => answer(stream, frame(gzipSync(goodMessage), 1))],
    [
      "a compression nobody knows",
      (stream) => answer(stream, frame(goodMessage, 1), undefined, { "grpc-encoding": "x" }),
    ],
    ["a message that is too long", (stream) => answer(stream, frame(goodMessage, 0, 4 * 1024 * 1024 + 1))],
    [
      "a page",
      (stream) => {
        stream.respond({ ":status": 503, "content-type": "text/html" });
        stream.end("<html>");
      },
    ],
    [
      "a redirection",
      (stream) => {
        stream.respond({ ":status": 302, location: "/" }, { endStream: true });
      },
    ],
    ...[0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 99].map((code): [string, Script] => [
      `a reset with code ${code}`,
      (stream) => stream.close(code),
    ]),
    [
      "a reset in the middle of a message",
      (stream) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" });
        stream.write(goodFrame.subarray(0, 9), () => stream.close(2));
      },
    ],
  ])("%s", async (_, script) => {
    // Of two messages, grpc-js makes a call that never ends.
    const { grpcJs, fastLane, ways } = await byBothWays(script, () => ({ timeoutMs: 1_000 }));
    expect(fastLane).toEqual(grpcJs);
    expect(ways).toEqual(["fast lane", "grpc-js"]);
  });

  test("for a minute", async () => {
    const host = await startRawHost();
    let nowMs = 0;
    const caller = await callerOf(host, "fast lane", { now: () => nowMs });
    host.play((stream, { nth }) => (nth === 1 ? stream.close(2) : answer(stream)));
    expect(await caller.get()).toEqual(good);
    nowMs += 59_000;
    await caller.get();
    await caller.get();
    expect(host.arrived.map(({ way }) => way)).toEqual(["fast lane", "grpc-js", "grpc-js", "grpc-js"]);
    nowMs += 2_000;
    await expect.poll(async () => (await caller.get()) && host.arrived.at(-1)?.way).toBe("fast lane");
  });
});
