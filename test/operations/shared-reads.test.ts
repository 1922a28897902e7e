import { expect, test } from "vitest";
import { SharedReads } from "../../src/operations/shared-reads.ts";

/** Reads that end when the test says so. */
function heldReads() {
  const begun: (PromiseWithResolvers<string> & { readonly key: string })[] = [];
  const reads = new SharedReads((key) => {
    const read = { key, ...Promise.withResolvers<string>() };
    begun.push(read);
    return read.promise;
  });
  return { begun, reads };
}

test("a read is shared by those who ask for the same key while it is under way", async () => {
  const { begun, reads } = heldReads();
  const answers = Promise.all(["a", "b", "a"].map((key) => reads.read(key)));
  expect(begun.map(({ key }) => key)).toEqual(["a", "b"]);
  expect(reads.underWay("a")).toBe(reads.read("a"));
  begun[0]?.resolve("A");
  begun[1]?.resolve("B");
  expect(await answers).toEqual(["A", "B", "A"]);
  expect(reads.underWay("a")).toBeUndefined();
});

test("those who wait for the read under way share the next one, which has begun after they asked", async () => {
  const { begun, reads } = heldReads();
  const first = reads.read("a");
  const later = Promise.all(
    [1, 2, 3].map(async () => {
      await reads.underWay("a");
      return reads.read("a");
    }),
  );
  begun[0]?.resolve("old");
  expect(await first).toBe("old");
  begun[1]?.resolve("new");
  expect(await later).toEqual(["new", "new", "new"]);
  expect(begun).toHaveLength(2);
});

test("a read that fails fails for those who share it, and not for those who come later", async () => {
  const { begun, reads } = heldReads();
  const failed = Promise.allSettled([reads.read("a"), reads.read("a")]);
  begun[0]?.reject(new Error("the database is away"));
  expect((await failed).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  const again = reads.read("a");
  begun[1]?.resolve("A");
  expect(await again).toBe("A");
});
