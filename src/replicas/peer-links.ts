import type { Logger } from "pino";
import type { ClientCredentials } from "../client/client-credentials.ts";
import type { HostBackoff } from "../hosts/host-breaker.ts";
import { HostConnection } from "../hosts/host-connection.ts";
import { RemoteSource } from "../hosts/remote-source.ts";
import { ownerHeader } from "../operations/call-origin.ts";
import type { Peer } from "../operations/standing.ts";
import type { Instance } from "./instance-store.ts";

/** What all links have in common. */
export interface PeerLinkOptions {
  /** How long one call may take, in milliseconds. */
  readonly callTimeoutMs: number;
  /** This server's name in the way a call has come. */
  readonly serverId: string;
  /** How long a server that does not answer is left alone. */
  readonly backoff: HostBackoff;
  /** With what this server proves who it is. Default: with nothing. */
  readonly credentials?: ClientCredentials;
  /** Told when that is not accepted. Default: nobody. */
  readonly log?: Logger;
}

/**
 * Connections to the other servers over one store, which speak the protocol that hosts speak.
 *
 * Each call names the instance it is meant for, so that a server that was restarted at the same address, or a load
 * balancer in front, does not answer for another one.
 */
export class PeerLinks {
  readonly #options: PeerLinkOptions;
  readonly #links = new Map<string, { readonly peer: Peer; readonly connection: HostConnection }>();

  constructor(options: PeerLinkOptions) {
    this.#options = options;
  }

  /** The link to an instance; the same one each time. */
  to({ instanceId, url }: Instance): Peer {
    const known = this.#links.get(instanceId);
    if (known) {
      return known.peer;
    }
    const connection = new HostConnection({ ...this.#options, url, headers: { [ownerHeader]: instanceId } });
    const peer: Peer = { url, source: (operationId) => new RemoteSource(connection, operationId) };
    this.#links.set(instanceId, { peer, connection });
    return peer;
  }

  /** Closes the links to all but some instances; calls under way end as unreachable. */
  keepOnly(instanceIds: ReadonlySet<string>): void {
    for (const [instanceId, { connection }] of this.#links) {
      if (!instanceIds.has(instanceId)) {
        connection.close();
        this.#links.delete(instanceId);
      }
    }
  }
}
