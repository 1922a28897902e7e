import type { LoopHolds } from "./loop-watch.ts";
import type { Row } from "./row.ts";
import { spread } from "./statistics.ts";

/** How long the event loop of a server was held up; the bar is for what code does at a time. */
export function holdRows(question: string, { p99Ms, longestMs, longestOwnMs }: LoopHolds): readonly Row[] {
  return [
    { question, subject: "99th percentile of its turns", unit: "ms", value: spread([p99Ms]) },
    {
      question,
      subject: "longest turn",
      unit: "ms",
      value: spread([longestMs]),
      note: "with garbage collection, and with what other threads do on the same core; 1 ms is the timer's own",
    },
    {
      question,
      subject: "longest turn, without pauses of garbage collection",
      unit: "ms",
      value: spread([longestOwnMs]),
      bar: { atMost: 20 },
      note: "CPU of the thread itself; steps of marking between the pauses are in it, for nothing tells them apart",
    },
  ];
}
