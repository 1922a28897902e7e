import type { Row } from "../harness/row.ts";
import { byQuestion, figure } from "./figures.ts";

const width = 840;
const barsFrom = 370;
const barsTo = 740;
const lineHeight = 30;
const top = 48;
const font = `font-family="system-ui, sans-serif"`;

/** The rows of one question as an SVG image: a bar for each median, a whisker from the 10th to the 90th percentile. */
export function barPlot(question: string, rows: readonly Row[]): string {
  const [{ unit } = { unit: "" }] = rows;
  const longest = Math.max(
    ...rows.map(({ value, bar }) => Math.max(value.p90, bar && "atMost" in bar ? bar.atMost : 0)),
  );
  const x = (value: number) => round(barsFrom + ((barsTo - barsFrom) * value) / (longest || 1));
  const height = top + rows.length * lineHeight + 12;
  const lines = rows.flatMap(({ subject, value, bar }, index) => {
    const y = top + index * lineHeight;
    const [left, right, middle] = [x(value.p10), x(value.p90), y + 10];
    const limit = bar && x("atMost" in bar ? bar.atMost : bar.atLeast);
    return [
      text(barsFrom - 8, y + 14, subject, 'text-anchor="end"'),
      `<rect x="${barsFrom}" y="${y}" width="${round(x(value.median) - barsFrom)}" height="20" fill="${colour(subject)}"/>`,
      `<path d="M${left} ${middle - 4}v8M${left} ${middle}H${right}M${right} ${middle - 4}v8" stroke="#222" fill="none"/>`,
      text(right + 8, y + 14, figure(value.median)),
      ...(limit === undefined || limit > width
        ? []
        : [`<path d="M${limit} ${y - 3}v26" stroke="#c0392b" stroke-dasharray="3 2"/>`]),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>${escaped(question)}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="12" y="24" ${font} font-size="15" font-weight="600" fill="#222">${escaped(`${question}, ${unit}`)}</text>`,
    ...lines,
    "</svg>\n",
  ].join("\n");
}

/** A name for the file of a question's plot: "cpu-of-a-getoperation-over-grpc.svg". */
export function plotName(question: string): string {
  return `${question
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "")}.svg`;
}

/** The plot of every question, by its file's name. */
export function plots(rows: readonly Row[]): ReadonlyMap<string, string> {
  return new Map(
    byQuestion(rows)
      .entries()
      .map(([question, each]) => [plotName(question), barPlot(question, each)]),
  );
}

function text(x: number, y: number, content: string, more = ""): string {
  return `<text x="${x}" y="${y}" ${font} font-size="12" fill="#222" ${more}>${escaped(content)}</text>`;
}

function colour(subject: string): string {
  return subject.startsWith("longhaul") ? "#2f6fab" : "#a9b4bf";
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
