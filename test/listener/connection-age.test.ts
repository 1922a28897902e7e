import type { ServerHttp2Session } from "node:http2";
import { expect, test } from "vitest";
import { createConnectionAge } from "../../src/listener/connection-age.ts";
import { createConnections } from "../../src/listener/connections.ts";

/** Connections that were made at the same instant, and what became of them. */
function madeTogether(count: number) {
  const connections = createConnections(0);
  const seen = { closed: 0, destroyed: 0 };
  for (let made = 0; made < count; made++) {
    let isClosed = false;
    const session = {
      once: () => {},
      close: () => {
        seen.closed += isClosed ? 0 : 1;
        isClosed = true;
      },
      destroy: () => {
        seen.destroyed += 1;
      },
    };
    connections.addSession(session as unknown as ServerHttp2Session);
  }
  const madeMs = performance.now();
  return { connections, seen, madeMs };
}

test("connections that were made together end over a fifth of their age, none before and none after", () => {
  const maxAgeMs = 1_000_000;
  const { connections, seen, madeMs } = madeTogether(200);
  const age = createConnectionAge(connections, { maxAgeMs, graceMs: maxAgeMs });
  age.look(madeMs + 0.89 * maxAgeMs);
  expect(seen.closed).toBe(0);
  age.look(madeMs + maxAgeMs);
  expect(seen.closed).toBeGreaterThan(0);
  expect(seen.closed).toBeLessThan(200);
  age.look(madeMs + 1.11 * maxAgeMs);
  expect(seen).toEqual({ closed: 200, destroyed: 0 });
  age.look(madeMs + 2.11 * maxAgeMs);
  expect(seen.destroyed).toBe(200);
});

test("an age of 0 is no limit", () => {
  const { connections, seen, madeMs } = madeTogether(1);
  createConnectionAge(connections, { maxAgeMs: 0, graceMs: 1 }).look(madeMs + 1e12);
  expect(seen).toEqual({ closed: 0, destroyed: 0 });
});
