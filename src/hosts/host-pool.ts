import type { Logger } from "pino";
import type { ClientCredentials } from "../client/client-credentials.ts";
import type { HostBackoff } from "./host-breaker.ts";
import { HostConnection } from "./host-connection.ts";
import { HostExecutor } from "./host-executor.ts";

/** What all hosts have in common. */
export interface HostPoolOptions {
  /** How long one call may take, in milliseconds. */
  readonly callTimeoutMs: number;
  /** This server's name in the way a call has come. */
  readonly serverId: string;
  /** How long a host that does not answer is left alone. */
  readonly backoff: HostBackoff;
  /** With what this server proves who it is. Default: with nothing. */
  readonly credentials?: ClientCredentials;
  /** Told when that is not accepted. Default: nobody. */
  readonly log?: Logger;
}

/** The hosts this server knows, one connection for each URL. */
export class HostPool {
  readonly #options: HostPoolOptions;
  readonly #executors = new Map<string, HostExecutor>();

  constructor(options: HostPoolOptions) {
    this.#options = options;
  }

  /** Who speaks with the host at a URL; the same one each time. */
  executor(url: string): HostExecutor {
    const known = this.#executors.get(url);
    if (known) {
      return known;
    }
    const { backoff } = this.#options;
    const executor = new HostExecutor(new HostConnection({ ...this.#options, url }), backoff);
    this.#executors.set(url, executor);
    return executor;
  }

  /** Closes all connections. */
  close(): void {
    for (const executor of this.#executors.values()) {
      executor.close();
    }
    this.#executors.clear();
  }
}
