import { test } from "vitest";
import { expectPromisesKept } from "./expect-promises-kept.ts";

test(
  "the database of three replicas killed at 50 random moments under load",
  () => expectPromisesKept("database"),
  300_000,
);
