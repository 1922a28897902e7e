import { test } from "vitest";
import { expectPromisesKept } from "./expect-promises-kept.ts";

/** They give the host as much as it gets done between two kills. */
const clients = 3;

test("a host killed at 50 random moments under load", () => expectPromisesKept("host", clients), 300_000);
