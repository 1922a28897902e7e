import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import type { ServerMetrics } from "./server-metrics.ts";

/** Where to listen. */
export interface AdminListenerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly metrics: Pick<ServerMetrics, "page" | "contentType">;
  readonly log: Logger;
}

/** The admin port. */
export interface AdminListener {
  readonly port: number;
  /** Stops listening and cuts off who is still connected. */
  close(): Promise<void>;
}

/**
 * Serves `GET /metrics` for Prometheus and `GET /healthz`, which says no more than that the process answers. Rejects
 * with an Error that names the address when it cannot be had.
 */
export async function listenForAdmin({ host, port, metrics, log }: AdminListenerOptions): Promise<AdminListener> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (request, response) => {
    const path = (request.url ?? "").split("?", 1)[0];
    if (request.method !== "GET" && request.method !== "HEAD") {
      answer(response, 405, "only GET is served here\n");
    } else if (path === "/healthz") {
      answer(response, 200, "ok\n");
    } else if (path === "/metrics") {
      metrics.page().then(
        (page) => answer(response, 200, page, metrics.contentType),
        (error: unknown) => {
          log.error({ err: error }, "the metrics could not be collected");
          answer(response, 500, "the metrics could not be collected; the server's log has the details\n");
        },
      );
    } else {
      answer(response, 404, "the pages are /metrics and /healthz\n");
    }
  });
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    throw new Error(`cannot listen on ${host}:${port} for metrics: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function answer(response: ServerResponse, status: number, text: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) }).end(text);
}
