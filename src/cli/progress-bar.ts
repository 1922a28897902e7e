const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of so many columns, filled to a percentage of 0 to 100 in eighths of a column. Full only at 100. */
export function progressBar(percentage: number, columns: number): string {
  const share = Math.min(1, Math.max(0, percentage / 100));
  const filled = Math.floor(share * columns * 8);
  const bar = "█".repeat(Math.floor(filled / 8)) + (eighths[filled % 8] ?? "");
  return bar.padEnd(columns, "░");
}
