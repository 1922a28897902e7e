import type { Row } from "../harness/row.ts";
import { barText, byQuestion, figure, range, verdict } from "./figures.ts";

/** The rows for a terminal. */
export function consoleTable(rows: readonly Row[]): string {
  return byQuestion(rows)
    .entries()
    .map(([question, each]) => `${[question, ...each.flatMap(rowLines)].join("\n")}\n`)
    .toArray()
    .join("\n");
}

function rowLines({ subject, value, unit, bar, ratios = [], note }: Row): string[] {
  const outcome = bar ? `  ${barText(bar)} ${verdict(value, bar)}` : "";
  return [
    `  ${subject.padEnd(60)} ${figure(value.median).padStart(10)} ${unit.padEnd(6)} ${range(value)}${outcome}`,
    ...ratios.map(({ to, of, bar }) => {
      const outcome = bar ? `  ${barText(bar)} ${verdict(of, bar)}` : "";
      return `    ${`against ${to}`.padEnd(58)} ${figure(of.median).padStart(10)} ${"".padEnd(6)} ${range(of)}${outcome}`;
    }),
    ...(note === undefined ? [] : [`    ${note}`]),
  ];
}
