import type { RequestHandler, StreamHandler } from "../listener/request-handler.ts";

/** What answers the requests of a port. */
export interface PortHandlers {
  readonly handler: RequestHandler;
  /** Asked first of every HTTP/2 request. Undefined: nobody is. */
  readonly streamHandler?: StreamHandler;
}

/** Where requests wait until the server has started: it must listen before it can tell others where. */
export interface Entrance extends Required<PortHandlers> {
  /** Lets those through that wait, and all later ones. */
  open(inside: PortHandlers): void;
}

/** Makes an entrance that is closed. */
export function createEntrance(): Entrance {
  let inside: PortHandlers | undefined;
  let waiting: Parameters<RequestHandler>[] = [];
  return {
    handler: (request, response) => {
      if (inside) {
        inside.handler(request, response);
      } else {
        waiting.push([request, response]);
      }
    },
    streamHandler: (stream, headers) => inside?.streamHandler?.(stream, headers) ?? false,
    open: (handlers) => {
      inside = handlers;
      for (const [request, response] of waiting) {
        handlers.handler(request, response);
      }
      waiting = [];
    },
  };
}
