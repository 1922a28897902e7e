import { LoopWatch } from "../harness/loop-watch.ts";

// Loaded into every server of the suite, before the server itself: it answers what the suite asks of the process, and
// ends the process with the suite.

/** What a server answers to a question, by the question. */
type Answers = Record<string, () => unknown>;

let watch: LoopWatch | undefined;
const answers: Answers = {
  watchLoop: () => {
    watch = new LoopWatch();
  },
  /** LoopHolds since watchLoop. */
  loopHolds: () => watch?.stop(),
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

process.on("message", async ({ id, question }: { id: number; question: string }) => {
  process.send?.({ id, answer: await answers[question]?.() });
});
process.once("disconnect", () => process.exit());
