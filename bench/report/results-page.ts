import type { Row } from "../harness/row.ts";
import { plotName } from "./bar-plot.ts";
import { barredFigures, barText, byQuestion, figure, range, verdict } from "./figures.ts";
import type { Results, Setup } from "./results-file.ts";

/** The page of all results, in Markdown. */
export function resultsPage(results: Results): string {
  const rows = Object.values(results).flatMap((result) => result.rows);
  return `${[
    "# Results of the benchmarks",
    "Written by `npm run bench`: medians, with the 10th to the 90th percentile of the rounds. Ratios are taken round by round, within one run; they carry over to other machines, single figures do not.",
    ...barTable(rows),
    ...Object.entries(results).flatMap(([part, { rows, setup }]) => [
      `## ${part}`,
      setupText(setup),
      ...byQuestion(rows)
        .entries()
        .flatMap(([question, each]) => questionText(question, each)),
    ]),
  ].join("\n\n")}\n`;
}

function barTable(rows: readonly Row[]): string[] {
  const figures = barredFigures(rows);
  return figures.length === 0
    ? []
    : [
        "## Bars",
        table(
          ["question", "of", "figure", "p10–p90", "bar", ""],
          figures.map(({ row, ratio, of, bar }) => [
            row.question,
            ratio ? `${row.subject} / ${ratio.to}` : `${row.subject}, ${row.unit}`,
            figure(of.median),
            range(of),
            barText(bar),
            verdict(of, bar),
          ]),
        ),
      ];
}

function setupText({ machine, versions, date, isQuick }: Setup): string {
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${date}, ${machine}; ${named.join(", ")}${isQuick ? ". **A quick run: not for comparison.**" : "."}`;
}

function questionText(question: string, rows: readonly Row[]): string[] {
  const [{ unit } = { unit: "" }] = rows;
  const notes = rows.flatMap(({ subject, note }) => (note === undefined ? [] : [`- ${subject}: ${note}`]));
  return [
    `### ${question}`,
    table(["", unit, "p10–p90", "against", "ratio", "p10–p90", "bar", ""], rows.flatMap(rowLines)),
    ...(notes.length === 0 ? [] : [notes.join("\n")]),
    `![${question}](plots/${plotName(question)})`,
  ];
}

/** A line for the figure, and one for each ratio; the first ratio is on the figure's line if that has no bar. */
function rowLines({ subject, value, bar, ratios = [] }: Row): string[][] {
  const own = [subject, figure(value.median), range(value)];
  const compared = ratios.map(({ to, of, bar }) => [
    to,
    figure(of.median),
    range(of),
    ...(bar ? [barText(bar), verdict(of, bar)] : ["", ""]),
  ]);
  if (bar) {
    compared.unshift(["", "", "", barText(bar), verdict(value, bar)]);
  }
  const [first = ["", "", "", "", ""], ...further] = compared;
  return [[...own, ...first], ...further.map((cells) => ["", "", "", ...cells])];
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
