import { AsyncLocalStorage } from "node:async_hooks";
import type { CancellationToken } from "../cancellation/cancellation-token.ts";
import type { ProgressManager } from "../progress/progress-manager.ts";

/** What code finds of the operation it runs in, however deep in the call chain. */
export interface CurrentOperation {
  /** Undefined outside of executeWithCancellation and managed operations. */
  readonly token?: CancellationToken;
  /** Undefined outside of executeWithProgress and managed operations. */
  readonly progress?: ProgressManager;
}

/** The operation the running code belongs to. Operations that run at once each see their own. */
export const currentOperation = new AsyncLocalStorage<CurrentOperation>();
