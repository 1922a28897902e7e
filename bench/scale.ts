import { holdRows } from "./harness/hold-rows.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { spread } from "./harness/statistics.ts";
import { measureScale, type ScaleCall } from "./stored-operations.ts";

const kibibyte = 1_024;

/** What calls cost in a large store, and what very many running operations do. */
export async function benchScale(options: BenchOptions): Promise<readonly Row[]> {
  const { sizes, calls, longCalls, running } = await measureScale(options);
  const [small, large] = sizes.map((size) => size.toLocaleString("en"));
  const growth = `CPU of a call with ${large} stored operations against ${small}`;
  const hold = `Longest holds of the event loop by a call with ${large} stored operations`;
  const many = `${running.operations.toLocaleString("en")} running operations`;
  const memory = `Memory of each of ${many}`;
  return [
    ...calls.map((call) => ({ ...growthRow(growth, call), bar: { atMost: 1.5 } })),
    ...longCalls.map((call) => growthRow(`${growth}, where it is in proportion to what it looks at`, call)),
    ...longestHolds([...calls, ...longCalls]).map(({ name, heldMs }) => ({
      question: hold,
      subject: name,
      unit: "ms",
      value: heldMs,
      bar: { atMost: 20 },
    })),
    {
      question: memory,
      subject: "in use, beyond its encoded data",
      unit: "bytes",
      value: spread([running.memoryBytes - running.dataBytes]),
      bar: { atMost: 4 * kibibyte },
    },
    { question: memory, subject: "its encoded data", unit: "bytes", value: spread([running.dataBytes]) },
    { question: memory, subject: "resident", unit: "bytes", value: spread([running.residentBytes]) },
    {
      question: `A sweep of ${many} that all have new progress`,
      subject: "CPU",
      unit: "ms",
      value: spread([running.sweepMs]),
    },
    ...holdRows(`Event loop during a sweep of ${many} that all have new progress`, running.sweepHolds),
  ];
}

/** The five worst. */
function longestHolds(calls: readonly ScaleCall[]): readonly ScaleCall[] {
  return calls.toSorted((a, b) => b.heldMs.median - a.heldMs.median).slice(0, 5);
}

function growthRow(question: string, { name, ratio }: ScaleCall): Row {
  return { question, subject: name, unit: "times", value: ratio };
}
