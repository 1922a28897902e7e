/** Cuts a list into `count` runs whose lengths differ by one at most; no run is empty, so a short list gives fewer. */
export function splitEvenly<T>(list: readonly T[], count: number): T[][] {
  const runs = Math.min(count, list.length);
  return Array.from({ length: runs }, (_, run) =>
    list.slice(Math.floor((run * list.length) / runs), Math.floor(((run + 1) * list.length) / runs)),
  );
}
