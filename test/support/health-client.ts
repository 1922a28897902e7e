import { once } from "node:events";
import { type Client, type ClientReadableStream, credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { onTestFinished } from "vitest";

/** The health service as clients see it that nobody here wrote: grpc-js with the definition of grpc-health-check. */
export interface HealthClient {
  /** Answers the status; rejects with grpc-js's ServiceError. */
  check(service: string): Promise<string>;
  list(): Promise<Record<string, string>>;
  /** Begins to watch; answers a function that waits for the next status, and rejects when the stream ends with an error. */
  watch(service: string): () => Promise<string>;
  /** Ends the connection, with all that is open. */
  close(): void;
}

type Method = (request: object, callback: (error: Error | null, answer: never) => void) => void;
type StreamMethod = (request: object) => ClientReadableStream<{ status: string }>;

/** A health client of the server at a URL; closed when the running test ends. */
export function connectHealthClient(url: string): HealthClient {
  const HealthClientOfGrpc = makeGenericClientConstructor(service, "Health");
  const client = new HealthClientOfGrpc(new URL(url).host, credentials.createInsecure()) as unknown as Client &
    Record<"check" | "list", Method> & { watch: StreamMethod };
  onTestFinished(() => client.close());
  const call = <T>(method: "check" | "list", request: object) =>
    new Promise<T>((resolve, reject) => {
      client[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  return {
    check: async (name) => (await call<{ status: string }>("check", { service: name })).status,
    list: async () => {
      const { statuses } = await call<{ statuses: Record<string, { status: string }> }>("list", {});
      return Object.fromEntries(Object.entries(statuses).map(([name, { status }]) => [name, status]));
    },
    watch: (name) => {
      const stream = client.watch({ service: name });
      const told: string[] = [];
      let ended: Error | undefined;
      stream.on("data", ({ status }) => told.push(status));
      stream.on("error", (error) => {
        ended = error;
      });
      return async () => {
        while (told.length === 0 && !ended) {
          await Promise.race([once(stream, "data"), once(stream, "close")]);
        }
        const next = told.shift();
        if (next === undefined) {
          throw ended;
        }
        return next;
      };
    },
    close: () => client.close(),
  };
}
