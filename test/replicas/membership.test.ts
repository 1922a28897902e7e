import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { Instance, InstanceStore } from "../../src/replicas/instance-store.ts";
import { Membership } from "../../src/replicas/membership.ts";
import { PeerLinks } from "../../src/replicas/peer-links.ts";

const leaseMs = 9_000;

/** An instance store in memory, with a clock of its own and a switch. */
class ScriptedInstances implements InstanceStore {
  readonly entered = new Map<string, Instance & { leaseUntilMs: number }>();
  /** How much its clock is ahead of the servers'. */
  aheadMs = 0;
  isAway = false;
  renewals = 0;

  async enter(instance: Instance, forMs: number): Promise<void> {
    this.#check();
    this.entered.set(instance.instanceId, { ...instance, leaseUntilMs: this.#now() + forMs });
  }

  async renew(instanceId: string, forMs: number) {
    this.renewals += 1;
    this.#check();
    const held = this.entered.get(instanceId);
    if (held) {
      held.leaseUntilMs = this.#now() + forMs;
    }
    return { held: held !== undefined, instances: [...this.entered.values()], nowMs: this.#now() };
  }

  async strikeOff(marginMs: number): Promise<string[]> {
    this.#check();
    const due = [...this.entered.values()].filter(({ leaseUntilMs }) => leaseUntilMs + marginMs < this.#now());
    for (const { instanceId } of due) {
      this.entered.delete(instanceId);
    }
    return due.map(({ instanceId }) => instanceId);
  }

  async leave(instanceId: string): Promise<void> {
    this.#check();
    this.entered.delete(instanceId);
  }

  #now(): number {
    return Date.now() + this.aheadMs;
  }

  #check(): void {
    if (this.isAway) {
      throw new Error("the database is away");
    }
  }
}

/** A member whose events are noted. Fake timers are its clock. */
async function member(instances: ScriptedInstances, name: string, operationTypes = ["training"]) {
  const links = new PeerLinks({ serverId: name, callTimeoutMs: 100, backoff: { firstMs: 10, maximumMs: 100 } });
  const membership = new Membership({
    instances,
    links,
    url: `http://${name}.test:1`,
    operationTypes,
    leaseMs,
    confirmTimeoutMs: 1_000,
    log: pino({ level: "silent" }),
  });
  const events: string[] = [];
  await membership.enter();
  membership.start({
    renewed: async () => {},
    struckOff: () => events.push("struck off"),
    othersGone: async () => {
      events.push("others gone");
    },
  });
  onTestFinished(() => membership.leave());
  return { membership, events };
}

/** Lets time pass, and everything that is due happen. */
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** The server stands still for a while, and everything else goes on. */
async function paused(ms: number): Promise<void> {
  vi.setSystemTime(Date.now() + ms);
  const { now } = performance;
  vi.spyOn(performance, "now").mockImplementation(() => now.call(performance) + ms);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("a member", () => {
  test("is sure of itself as long as it can renew its lease", async () => {
    const instances = new ScriptedInstances();
    const { membership } = await member(instances, "a");
    for (let second = 0; second < 60; second++) {
      expect(membership.isSure).toBe(true);
      await pass(1_000);
    }
    expect(instances.entered.size).toBe(1);
    expect(instances.renewals).toBeGreaterThan(15);
    expect(instances.renewals).toBeLessThan(30);
  });

  test("is not sure any more once the lease that it knows of has ended, and is again when the database is back", async () => {
    const instances = new ScriptedInstances();
    const { membership, events } = await member(instances, "a");
    await pass(3_500);
    instances.isAway = true;
    // Renewed after 3 s.
    await pass(3_000 + leaseMs - 3_500 - 1);
    expect(membership.isSure).toBe(true);
    await pass(1);
    expect(membership.isSure).toBe(false);
    await membership.confirm();
    expect(membership.isSure).toBe(false);
    instances.isAway = false;
    await membership.confirm();
    expect(membership.isSure).toBe(true);
    expect(events).toEqual([]);
  });

  test("knows the others, how to reach them, and what only they serve", async () => {
    const instances = new ScriptedInstances();
    const a = await member(instances, "a", ["training", "data_load"]);
    const b = await member(instances, "b", ["training", "backtesting"]);
    await pass(4_000);
    expect(a.membership.peer(b.membership.instanceId)?.url).toBe("http://b.test:1");
    expect(a.membership.peer("unheard of")).toBeUndefined();
    expect(a.membership.otherTypes).toEqual(["backtesting"]);
    expect(b.membership.otherTypes).toEqual(["data_load"]);
    expect([a.membership.isFirst, b.membership.isFirst].filter(Boolean)).toHaveLength(1);
  });

  test("goes by the database's clock", async () => {
    const instances = new ScriptedInstances();
    instances.aheadMs = 3_600_000;
    const { membership } = await member(instances, "a");
    expect(Math.abs(membership.now() - (Date.now() + 3_600_000))).toBeLessThan(50);
    instances.aheadMs = -7_000;
    await pass(leaseMs);
    expect(Math.abs(membership.now() - (Date.now() - 7_000))).toBeLessThan(50);
  });
});

describe("a member that is gone", () => {
  test("is struck off after its lease, and not before; the others are told once", async () => {
    const instances = new ScriptedInstances();
    const { membership, events } = await member(instances, "a");
    await pass(2 * leaseMs);
    await instances.enter({ instanceId: "dead", url: "http://dead.test:1", operationTypes: [] }, leaseMs);
    await pass(leaseMs);
    expect(instances.entered.has("dead")).toBe(true);
    expect(membership.peer("dead")).toBeDefined();
    await pass(leaseMs / 2);
    expect(instances.entered.has("dead")).toBe(false);
    expect(membership.peer("dead")).toBeUndefined();
    await pass(3 * leaseMs);
    expect(events).toEqual(["others gone"]);
  });

  test("by its own will is missed at the next look", async () => {
    const instances = new ScriptedInstances();
    const { events } = await member(instances, "a");
    const other = await member(instances, "b");
    await pass(4_000);
    await other.membership.leave();
    await pass(4_000);
    expect(events).toEqual(["others gone"]);
  });

  test("is left alone by one that has only just come, for a whole lease", async () => {
    const instances = new ScriptedInstances();
    await instances.enter({ instanceId: "dead", url: "http://dead.test:1", operationTypes: [] }, 1);
    await member(instances, "a");
    await pass(leaseMs - 100);
    expect(instances.entered.has("dead")).toBe(true);
    await pass(leaseMs / 2);
    expect(instances.entered.has("dead")).toBe(false);
  });
});

test("after the database was away from all of them, nobody is taken for dead", async () => {
  const instances = new ScriptedInstances();
  const members = [await member(instances, "a"), await member(instances, "b"), await member(instances, "c")];
  await pass(2 * leaseMs);
  instances.isAway = true;
  await pass(10 * leaseMs);
  expect(members.some(({ membership }) => membership.isSure)).toBe(false);
  instances.isAway = false;
  await pass(3 * leaseMs);
  expect(members.every(({ membership }) => membership.isSure)).toBe(true);
  expect(instances.entered.size).toBe(3);
  expect(members.flatMap(({ events }) => events)).toEqual([]);
});

test("a member that stood still for longer than its lease and was struck off begins anew under another name", async () => {
  const instances = new ScriptedInstances();
  const { membership, events } = await member(instances, "a");
  await pass(1_000);
  const before = membership.instanceId;
  await paused(3 * leaseMs);
  await instances.strikeOff(0);
  expect(membership.isSure).toBe(false);
  await membership.confirm();
  expect(membership.isSure).toBe(true);
  expect(membership.instanceId).not.toBe(before);
  expect([...instances.entered.keys()]).toEqual([membership.instanceId]);
  expect(events).toEqual(["struck off", "others gone"]);
});

test("a member that stood still and was not missed goes on as it was", async () => {
  const instances = new ScriptedInstances();
  const { membership, events } = await member(instances, "a");
  await pass(1_000);
  const before = membership.instanceId;
  await paused(3 * leaseMs);
  expect(membership.isSure).toBe(false);
  await membership.confirm();
  expect(membership.isSure).toBe(true);
  expect(membership.instanceId).toBe(before);
  expect(events).toEqual([]);
});
