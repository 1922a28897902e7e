import { test } from "vitest";
import { expectPromisesKept } from "./expect-promises-kept.ts";

test("a gateway killed at 50 random moments under load", () => expectPromisesKept("gateway"), 300_000);
