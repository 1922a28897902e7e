import { monitorEventLoopDelay } from "node:perf_hooks";

// Loaded into every server of the suite, before the server itself: it answers what the suite asks of the process, and
// ends the process with the suite.

/** What a server answers to a question, by the question. */
type Answers = Record<string, () => unknown>;

const delay = monitorEventLoopDelay({ resolution: 1 });
const answers: Answers = {
  watchLoop: () => {
    delay.reset();
    delay.enable();
  },
  /** Longest time and 99th percentile that the event loop was held up since watchLoop, in milliseconds. */
  loopDelay: () => {
    delay.disable();
    return { maximumMs: delay.max / 1e6, p99Ms: delay.percentile(99) / 1e6 };
  },
  /** Resident memory after a garbage collection, in bytes. Collects only under --expose-gc. */
  residentBytes: () => {
    globalThis.gc?.();
    return process.memoryUsage.rss();
  },
};

/** Has a question of the suite answered. */
export function answerTo(question: string, answer: () => unknown): void {
  answers[question] = answer;
}

/** Tells the suite that the server is up, and which job it has made to be polled. */
export function announce(server: { readonly url: string; readonly jobId?: string }): void {
  process.send?.({ announced: server });
}

process.on("message", ({ id, question }: { id: number; question: string }) => {
  process.send?.({ id, answer: answers[question]?.() });
});
process.once("disconnect", () => process.exit());
