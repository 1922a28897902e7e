import { test } from "vitest";
import { expectPromisesKept } from "./expect-promises-kept.ts";

test("a host killed at 50 random moments under load", () => expectPromisesKept("host"), 300_000);
