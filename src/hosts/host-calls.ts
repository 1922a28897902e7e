import type { Logger } from "pino";
import type { CredentialFiles } from "../client/client-credentials.ts";
import type { HostPool, HostPoolOptions } from "./host-pool.ts";

/** Whom a server calls, and how; the settings of these names. */
export interface HostCallSettings extends CredentialFiles {
  /** Operation types that hosts serve, and where. */
  readonly routes: readonly { readonly operationType: string; readonly url: string }[];
  readonly pullTimeoutMs: number;
  readonly dispatchBackoffMs: number;
  readonly dispatchBackoffMaxMs: number;
}

/** What a server calls hosts and other replicas with. */
export interface OpenedHostCalls {
  readonly options: HostPoolOptions;
  readonly pool: HostPool;
}

/**
 * The calls of a server to others. What makes them is loaded where somebody is called, by the settings or by what is
 * stored: the client is large, and many a server never needs it.
 */
export class HostCalls {
  readonly #settings: HostCallSettings;
  readonly #serverId: string;
  readonly #log: Logger;
  #opened: Promise<OpenedHostCalls> | undefined;

  private constructor(settings: HostCallSettings, serverId: string, log: Logger) {
    this.#settings = settings;
    this.#serverId = serverId;
    this.#log = log;
  }

  /** `serverId` is the server's name in the way a call has come. Rejects with an Error that names a setting's fault. */
  static async create(settings: HostCallSettings, serverId: string, log: Logger): Promise<HostCalls> {
    const calls = new HostCalls(settings, serverId, log);
    const { routes, callTokenFile, callCertificateFile, callKeyFile, callCaFile } = settings;
    const hasCredentials = [callTokenFile, callCertificateFile, callKeyFile, callCaFile].some((file) => file !== "");
    if (routes.length > 0 || hasCredentials) {
      await calls.open();
    }
    return calls;
  }

  /** Makes ready to call; the same each time. */
  open(): Promise<OpenedHostCalls> {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  /** Closes all connections to hosts. */
  async close(): Promise<void> {
    // Where opening failed, there is nothing to close.
    const opened = await this.#opened?.catch(() => undefined);
    opened?.pool.close();
  }

  async #open(): Promise<OpenedHostCalls> {
    const { createClientCredentials } = await import("../client/client-credentials.ts");
    const { HostPool } = await import("./host-pool.ts");
    const { routes, pullTimeoutMs, dispatchBackoffMs, dispatchBackoffMaxMs } = this.#settings;
    const credentials = createClientCredentials(this.#settings, this.#log);
    for (const { operationType, url } of routes) {
      const whyNot = credentials.whyNotTo(new URL(url));
      if (whyNot !== undefined) {
        throw new Error(`the route of operation type ${operationType}: ${whyNot}`);
      }
    }
    const options: HostPoolOptions = {
      serverId: this.#serverId,
      callTimeoutMs: pullTimeoutMs,
      backoff: { firstMs: dispatchBackoffMs, maximumMs: dispatchBackoffMaxMs },
      credentials,
      log: this.#log,
    };
    return { options, pool: new HostPool(options) };
  }
}
