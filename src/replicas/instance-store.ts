/** A server among those that share a store. */
export interface Instance {
  /** Unique to the process, and to the time during which it was not taken for dead. */
  readonly instanceId: string;
  /** Where the others reach it: "http://10.0.0.7:50051". */
  readonly url: string;
  /** The operation types it serves. */
  readonly operationTypes: readonly string[];
}

/** What a renewal finds. */
export interface Roll {
  /** The renewed instance is entered, and its lease runs anew. False when it was taken for dead. */
  readonly held: boolean;
  /** All instances that are entered, whatever their leases. */
  readonly instances: readonly Instance[];
  /** The database's clock, in milliseconds since the epoch. */
  readonly nowMs: number;
}

/**
 * Where the servers that share a store are entered, each with a lease. All times are the database's own, so the
 * servers' clocks need not agree.
 */
export interface InstanceStore {
  /** Enters an instance whose lease runs for `leaseMs`. */
  enter(instance: Instance, leaseMs: number): Promise<void>;
  /** Lets the lease of an instance run anew for `leaseMs`, if it is still entered, and reads the roll. */
  renew(instanceId: string, leaseMs: number): Promise<Roll>;
  /** Strikes off every instance whose lease ran out more than `marginMs` ago. Answers their ids. */
  strikeOff(marginMs: number): Promise<string[]>;
  /** Strikes off one instance, which leaves by itself. */
  leave(instanceId: string): Promise<void>;
}
