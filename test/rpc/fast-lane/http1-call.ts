import { once } from "node:events";
import * as http from "node:http";
import { onTestFinished } from "vitest";
import type { LaneCall, Outcome } from "./two-lanes.ts";

/** What is seen of a call over HTTP/1.1 by its client. */
export type Http1Outcome = Omit<Outcome, "records"> & {
  /** Whether the connection of the call before was good for this one, too. */
  readonly isReused: boolean;
};

/**
 * Makes a caller over HTTP/1.1 whose calls come one after the other on a connection, as long as the server leaves it
 * open. `hasBegun` resolves when the server has begun to answer a call.
 */
export function createHttp1Caller(port: number, hasBegun: () => Promise<void>) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  return async ({ headers, chunks, finally: ending = "end", isMeasured = false }: LaneCall): Promise<Http1Outcome> => {
    const { ":path": path, ":authority": authority, ...others } = headers;
    const length = Buffer.concat(chunks).length + (ending === "lose" ? 1 : 0);
    const sent: http.OutgoingHttpHeaders = { ...others };
    if (authority !== undefined) {
      sent["host"] = String(authority);
    }
    if (isMeasured) {
      sent["content-length"] = length;
    }
    const target = { port, host: "127.0.0.1", path: String(path) };
    const request = http.request({ ...target, agent, method: "POST", headers: sent });
    let isLost = false;
    request.on("error", () => {
      isLost = true;
    });
    const answered = once(request, "response").catch(() => undefined);
    request.flushHeaders();
    for (const chunk of chunks) {
      await new Promise((resolve) => request.write(chunk, resolve));
    }
    if (ending !== "lose") {
      request.end();
    }
    if (ending === "end and reset") {
      await hasBegun();
    }
    if (ending !== "end") {
      request.destroy();
    }
    const [response] = ((await answered) ?? []) as [http.IncomingMessage?];
    const body = response ? Buffer.concat(await response.toArray()) : Buffer.alloc(0);
    const { date: _, ...answeredHeaders } = response?.headers ?? {};
    return {
      headers: { ...answeredHeaders, ":status": response?.statusCode, "status-message": response?.statusMessage },
      body: body.toString("base64"),
      trailers: { ...response?.trailers },
      rstCode: isLost ? 1 : 0,
      isReused: request.reusedSocket,
    };
  };
}
