import type { Interceptor } from "@connectrpc/connect";
import { createGrpcJsTransport, PollingClient } from "longhaul";

// The caller's side of bench/interceptors.ts, as a process of its own: each message is a number of Gets to make.

const [url = "", operationId = "", token = ""] = process.argv.slice(2);
const bearer: Interceptor = (next) => (request) => {
  request.header.set("authorization", `Bearer ${token}`);
  return next(request);
};
const client = new PollingClient(createGrpcJsTransport({ baseUrl: url, interceptors: [bearer] }));
/** Calls that are open at a time. */
const callsAtOnce = 16;

process.on("message", async (calls: number) => {
  let left = calls;
  const caller = async () => {
    while (left-- > 0) {
      await client.rpc.getOperation({ operationId });
    }
  };
  await Promise.all(Array.from({ length: callsAtOnce }, caller));
  process.send?.("done");
});
process.send?.("ready");
