import { expect, test } from "vitest";
import type { Row } from "../../bench/harness/row.ts";
import { spread } from "../../bench/harness/statistics.ts";
import { plotName, plots } from "../../bench/report/bar-plot.ts";
import { consoleTable } from "../../bench/report/console-table.ts";
import { figure } from "../../bench/report/figures.ts";
import { resultsPage } from "../../bench/report/results-page.ts";

const question = "CPU of a <Get> & more";
const rows: readonly Row[] = [
  { question, subject: "floor", unit: "µs", value: spread([20, 22, 24]) },
  {
    question,
    subject: "longhaul",
    unit: "µs",
    value: spread([40, 44, 60]),
    bar: { atMost: 50 },
    ratios: [{ to: "floor", of: spread([2, 2, 2.5]), bar: { atMost: 1.6 } }],
    note: "with everything on",
  },
];
const setup = { machine: "2 × CPU", versions: { "Node.js": "24.0.0" }, date: "2026-01-20", isQuick: true };

test("figures have three digits that count", () => {
  expect([1234.5, 123.4, 12.34, 1.234, 0.01234, 0].map(figure)).toEqual([
    "1,235",
    "123",
    "12.3",
    "1.23",
    "0.012",
    "0.00",
  ]);
  expect(figure(Number.NaN)).toBe("–");
});

test("a plot has a bar for each row, within the image, and escapes its texts", () => {
  const svg = plots(rows).get(plotName(question)) ?? "";
  expect(svg).toContain("CPU of a &lt;Get&gt; &amp; more, µs");
  const widths = [...svg.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
  expect(widths).toHaveLength(2);
  expect(widths[1]).toBeCloseTo((widths[0] ?? 0) * 2, 0);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test("the page says which bars are met, of figures and of ratios", () => {
  const page = resultsPage({ rpc: { setup, rows } });
  expect(page).toContain(`| ${question} | longhaul, µs | 44.0 | 40.8–56.8 | ≤ 50.0 | met |`);
  expect(page).toContain(`| ${question} | longhaul / floor | 2.00 | 2.00–2.40 | ≤ 1.60 | not met |`);
  expect(page).toContain("A quick run");
  expect(page).toContain("- longhaul: with everything on");
  expect(page).toContain(`(plots/${plotName(question)})`);
});

test("the terminal gets the same verdicts", () => {
  const text = consoleTable(rows);
  expect(text).toMatch(/longhaul.*≤ 50\.0 met/);
  expect(text).toMatch(/against floor.*≤ 1\.60 not met/);
});
