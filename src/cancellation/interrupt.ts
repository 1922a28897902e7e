import { cancelAllOperations } from "./global-cancellation.ts";

/** What is done at Ctrl+C. */
export interface InterruptOptions {
  /** The signals that count. Default only SIGINT. */
  readonly signals?: readonly NodeJS.Signals[];
  /** Called at the first signal, after everything was cancelled. Default nothing. */
  readonly onFirst?: (signal: NodeJS.Signals) => void;
  /** Called at every further signal. Default: exit with 130, which shells read as "ended by Ctrl+C". */
  readonly onSecond?: (signal: NodeJS.Signals) => void;
}

/**
 * Makes the first signal cancel every operation of the process, gracefully, and the second one end the process.
 * Returns a function that uninstalls it; safe to call twice.
 */
export function installInterruptHandler(options: InterruptOptions = {}): () => void {
  const { signals = ["SIGINT"], onFirst, onSecond = () => process.exit(130) } = options;
  let interrupted = false;
  const handle = (signal: NodeJS.Signals): void => {
    if (interrupted) {
      onSecond(signal);
      return;
    }
    interrupted = true;
    cancelAllOperations(`the process was interrupted by ${signal}`);
    onFirst?.(signal);
  };
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}
