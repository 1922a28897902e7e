import { test } from "vitest";
import { expectPromisesKept } from "./expect-promises-kept.ts";

test(
  "a server that runs everything itself killed at 50 random moments under load",
  () => expectPromisesKept("server"),
  300_000,
);
