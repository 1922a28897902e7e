import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { pause } from "../operations/pause.ts";
import type { Peer, Standing } from "../operations/standing.ts";
import type { Instance, InstanceStore, Roll } from "./instance-store.ts";
import type { PeerLinks } from "./peer-links.ts";

/** Renewals in the time of one lease. */
const renewalsPerLease = 3;
/** Attempts in the time of one lease, while renewing fails. */
const attemptsPerLease = 20;
/**
 * How much longer than its lease an instance is left alone, in milliseconds. Makes up for the error in what the servers
 * know of the database's clock, so that the revisions of whoever follows are greater than those of the one before.
 */
const strikeOffMarginMs = 500;

/** What a member of a group of servers needs. */
export interface MembershipOptions {
  readonly instances: InstanceStore;
  readonly links: PeerLinks;
  /** Where the others reach this server. */
  readonly url: string;
  /** The operation types this server serves. */
  readonly operationTypes: readonly string[];
  /** How long this server counts as alive without a word, in milliseconds. */
  readonly leaseMs: number;
  /** How long a caller waits for the store to confirm the lease, in milliseconds. */
  readonly confirmTimeoutMs: number;
  readonly log: Logger;
  /** Milliseconds since any fixed instant; goes on while the process is stopped. Default: the process's own. */
  readonly monotonicNow?: () => number;
  /** Milliseconds since the epoch. Default: Date.now. */
  readonly wallNow?: () => number;
}

/** What a membership tells of. It waits for none of them, and logs what they throw: the lease must be renewed in time. */
export interface MembershipEvents {
  /** The lease was renewed: a good time to look for what the others want. */
  readonly renewed: () => Promise<void>;
  /** This server was taken for dead. All it owns is lost, before this returns; it goes on under another name. */
  readonly struckOff: () => void;
  /** Others are gone, and what they owned may be taken over. */
  readonly othersGone: () => Promise<void>;
}

/**
 * This server among those that share a store.
 *
 * I1 It is sure of what it owns only until the lease ends that it knows of, counted on its own clock from before the
 *    renewal was sent; by then nobody else can have taken it for dead.
 * I2 It takes others for dead only after a whole lease during which it could renew its own without a gap. After the
 *    database was away from all of them, each has the time to come back.
 * I3 A name that was struck off is never used again.
 */
export class Membership implements Standing {
  readonly isShared = true;
  readonly #options: MembershipOptions;
  readonly #monotonicNow: () => number;
  readonly #wallNow: () => number;
  #events: MembershipEvents | undefined;
  #instanceId: string = randomUUID();
  #sureUntilMs = Number.NEGATIVE_INFINITY;
  #sureSinceMs = Number.POSITIVE_INFINITY;
  #others: readonly Instance[] = [];
  #clockOffsetMs = 0;
  #renewal: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #hasLeft = false;
  #failed = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#monotonicNow = options.monotonicNow ?? (() => performance.now());
    this.#wallNow = options.wallNow ?? Date.now;
  }

  get instanceId(): string {
    return this.#instanceId;
  }

  get isSure(): boolean {
    return this.#monotonicNow() < this.#sureUntilMs;
  }

  get isFirst(): boolean {
    return this.isSure && this.#others.every(({ instanceId }) => instanceId > this.#instanceId);
  }

  get otherTypes(): readonly string[] {
    const mine = new Set(this.#options.operationTypes);
    return [...new Set(this.#others.flatMap(({ operationTypes }) => operationTypes))].filter((type) => !mine.has(type));
  }

  /** The time all servers of the group agree on: the database's, in milliseconds since the epoch. */
  now(): number {
    return this.#wallNow() + this.#clockOffsetMs;
  }

  peer(instanceId: string): Peer | undefined {
    const instance = this.#others.find((one) => one.instanceId === instanceId);
    return instance && this.#options.links.to(instance);
  }

  async confirm(): Promise<void> {
    const over = new AbortController();
    await Promise.race([this.#renew(), pause(this.#options.confirmTimeoutMs, over.signal)]);
    over.abort();
  }

  /** Enters the group. Rejects when the store cannot be written. */
  async enter(): Promise<void> {
    const sentAtMs = this.#monotonicNow();
    await this.#options.instances.enter(this.#self(), this.#options.leaseMs);
    this.#held(sentAtMs);
    await this.#renew();
  }

  /** Begins to renew the lease and to tell of events. */
  start(events: MembershipEvents): void {
    this.#events = events;
    this.#schedule();
  }

  /** Leaves the group: others may take over at once. Call it when nothing of this server runs any more. */
  async leave(): Promise<void> {
    this.#hasLeft = true;
    clearTimeout(this.#timer);
    await this.#renewal;
    this.#sureUntilMs = Number.NEGATIVE_INFINITY;
    try {
      await this.#options.instances.leave(this.#instanceId);
    } catch (error) {
      this.#options.log.warn({ err: error }, "the others could not be told that this server has left");
    }
    this.#options.links.keepOnly(new Set());
  }

  #self(): Instance {
    const { url, operationTypes } = this.#options;
    return { instanceId: this.#instanceId, url, operationTypes };
  }

  #schedule(): void {
    if (this.#hasLeft) {
      return;
    }
    const perLease = this.#failed ? attemptsPerLease : renewalsPerLease;
    this.#timer = setTimeout(
      () => void this.#renew().then(() => this.#schedule()),
      this.#options.leaseMs / perLease,
    ).unref();
  }

  /** Never rejects. Calls at the same time share one. */
  #renew(): Promise<void> {
    this.#renewal ??= this.#renewNow().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #renewNow(): Promise<void> {
    const { instances, leaseMs, log } = this.#options;
    const sentAtMs = this.#monotonicNow();
    const sentAtWallMs = this.#wallNow();
    let roll: Roll;
    try {
      roll = await instances.renew(this.#instanceId, leaseMs);
      if (!roll.held && !this.#hasLeft) {
        await this.#comeBack();
        return;
      }
    } catch (error) {
      if (!this.#failed) {
        log.warn({ err: error }, "the lease of this server could not be renewed");
      }
      this.#failed = true;
      return;
    }
    this.#failed = false;
    this.#held(sentAtMs);
    this.#setClock(roll.nowMs, sentAtWallMs, this.#monotonicNow() - sentAtMs);
    await this.#read(roll);
    this.#tell(this.#events?.renewed);
  }

  /** The lease that was asked for at a time is held. */
  #held(sentAtMs: number): void {
    if (sentAtMs >= this.#sureUntilMs) {
      this.#sureSinceMs = sentAtMs;
    }
    this.#sureUntilMs = sentAtMs + this.#options.leaseMs;
  }

  /** The database's clock, which was read about half-way between question and answer. */
  #setClock(databaseMs: number, sentAtMs: number, tookMs: number): void {
    // After a slow answer, what was known before is better.
    if (tookMs < strikeOffMarginMs / 2 || this.#clockOffsetMs === 0) {
      this.#clockOffsetMs = Math.round(databaseMs - sentAtMs - tookMs / 2);
    }
  }

  /** Begins anew after this server was taken for dead. */
  async #comeBack(): Promise<void> {
    const { instances, leaseMs, log } = this.#options;
    log.error({ instanceId: this.#instanceId }, "this server was taken for dead; its operations are others' now");
    this.#sureUntilMs = Number.NEGATIVE_INFINITY;
    this.#events?.struckOff();
    this.#instanceId = randomUUID();
    const sentAtMs = this.#monotonicNow();
    await instances.enter(this.#self(), leaseMs);
    this.#held(sentAtMs);
    this.#tell(this.#events?.othersGone);
  }

  async #read({ instances }: Roll): Promise<void> {
    const others = instances.filter(({ instanceId }) => instanceId !== this.#instanceId);
    const present = new Set(others.map(({ instanceId }) => instanceId));
    let gone = this.#others.some(({ instanceId }) => !present.has(instanceId));
    this.#others = others;
    this.#options.links.keepOnly(present);
    if (this.#monotonicNow() - this.#sureSinceMs >= this.#options.leaseMs && others.length > 0) {
      const struckOff = await this.#strikeOff();
      gone ||= struckOff.length > 0;
    }
    if (gone) {
      this.#tell(this.#events?.othersGone);
    }
  }

  async #strikeOff(): Promise<string[]> {
    const { instances, log } = this.#options;
    try {
      const struckOff = await instances.strikeOff(strikeOffMarginMs);
      if (struckOff.length > 0) {
        log.warn({ instanceIds: struckOff }, "servers whose leases ran out were taken for dead");
        this.#others = this.#others.filter(({ instanceId }) => !struckOff.includes(instanceId));
      }
      return struckOff;
    } catch (error) {
      log.warn({ err: error }, "other servers' leases could not be checked");
      return [];
    }
  }

  #tell(event: (() => Promise<void>) | undefined): void {
    event?.().catch((error: unknown) => {
      this.#options.log.error({ err: error }, "what other servers left could not be taken up");
    });
  }
}
