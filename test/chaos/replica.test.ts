import { test } from "vitest";
import { expectPromisesKept } from "./expect-promises-kept.ts";

test("one of three replicas killed at 50 random moments under load", () => expectPromisesKept("replica"), 300_000);
