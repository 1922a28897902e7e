import { createServer, type IncomingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { announce } from "./control.ts";

// The floor: argument 1 is the answer in hexadecimal, with its gRPC prefix. Every call gets these bytes once its request
// has been read, with the headers and trailers that gRPC demands and nothing else.

const answer = Buffer.from(process.argv[2] ?? "", "hex");
const headers: IncomingHttpHeaders = { ":status": "200", "content-type": "application/grpc" };
const trailers = { "grpc-status": "0" };

const server = createServer();
server.on("stream", (stream) => {
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.on("end", () => {
    stream.respond(headers, { waitForTrailers: true });
    stream.end(answer);
  });
  stream.resume();
});
server.listen(0, "127.0.0.1", () => announce({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }));
