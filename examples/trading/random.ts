/** Numbers from 0 inclusive to 1 exclusive. */
export type Random = () => number;

/**
 * A small generator of pseudo-random numbers that gives the same sequence for the same seed everywhere. Not for
 * secrets. The seed is taken as an unsigned 32-bit number.
 *
 * Source: mulberry32 by Tommy Ettinger (public domain).
 */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The numbers 0 to `count` - 1 in random order: Fisher and Yates' shuffle in Durstenfeld's form. */
export function shuffledIndices(count: number, random: Random): Uint32Array {
  const indices = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const swapped = indices[last] ?? 0;
    indices[last] = indices[other] ?? 0;
    indices[other] = swapped;
  }
  return indices;
}
