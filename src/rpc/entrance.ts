import type { RequestHandler } from "../listener/request-handler.ts";

/** Where requests wait until the server has started: it must listen before it can tell others where. */
export interface Entrance {
  readonly handler: RequestHandler;
  /** Lets those through that wait, and all later ones. */
  open(handler: RequestHandler): void;
}

/** Makes an entrance that is closed. */
export function createEntrance(): Entrance {
  let inside: RequestHandler | undefined;
  let waiting: Parameters<RequestHandler>[] = [];
  return {
    handler: (request, response) => {
      if (inside) {
        inside(request, response);
      } else {
        waiting.push([request, response]);
      }
    },
    open: (handler) => {
      inside = handler;
      for (const [request, response] of waiting) {
        handler(request, response);
      }
      waiting = [];
    },
  };
}
