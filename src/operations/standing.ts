import type { OperationSource } from "./operation-source.ts";

/** Another server that shares the store. */
export interface Peer {
  /** Where it is reached. */
  readonly url: string;
  /** The source of an operation that the peer owns. */
  source(operationId: string): OperationSource;
}

/**
 * How this server stands among those that share its store.
 *
 * A server that was paused for longer than its lease may have been taken for dead, and others may have taken over what
 * it owned, before it knows. So whoever reads from memory what is owned asks first.
 */
export interface Standing {
  /** The name under which this server owns operations. It gets another one when it was taken for dead. */
  readonly instanceId: string;
  /** What this server owns cannot have been taken over. */
  readonly isSure: boolean;
  /** Finds out by asking the store, for as long as that may take a caller; `isSure` says afterwards. */
  confirm(): Promise<void>;
  /** This server is the one that does what one must do for all. */
  readonly isFirst: boolean;
  /** Whether other servers may use the same store. */
  readonly isShared: boolean;
  /** Operation types that only others of the servers serve. */
  readonly otherTypes: readonly string[];
  /** Another server; undefined when it is not known to be alive. */
  peer(instanceId: string): Peer | undefined;
}

/** The standing of a server that has its store for itself. */
export function soleStanding(instanceId: string): Standing {
  return {
    instanceId,
    isSure: true,
    confirm: async () => {},
    isFirst: true,
    isShared: false,
    otherTypes: [],
    peer: () => undefined,
  };
}
