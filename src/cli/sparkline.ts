const bars = "▁▂▃▄▅▆▇█";

/** Draws numbers as a line of bars from the smallest to the largest of them; NaN and infinities are gaps. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const finite = shown.filter(Number.isFinite);
  const least = Math.min(...finite);
  const span = Math.max(...finite) - least;
  return shown
    .map((value) => {
      if (!Number.isFinite(value)) {
        return " ";
      }
      const level = span > 0 ? Math.round(((value - least) / span) * (bars.length - 1)) : 0;
      return bars.charAt(level);
    })
    .join("");
}
