import type { Socket } from "node:net";

/** How an HTTP/2 connection begins (RFC 9113, section 3.4); three bytes tell it from every HTTP/1.1 method. */
const prefaceStart = Buffer.from("PRI");

/**
 * Looks at the first bytes of a connection without consuming them, and says which HTTP version its client speaks. A
 * client that has sent nothing after `timeoutMs` is cut off.
 */
export function peek(socket: Socket, timeoutMs: number, decided: (isHttp2: boolean) => void): void {
  const leave = () => socket.destroy();
  const timer = setTimeout(leave, timeoutMs).unref();
  const ignore = () => {};
  let seen = Buffer.alloc(0);
  const look = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) {
      return;
    }
    seen = Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, prefaceStart.length);
    const mayBeHttp2 = seen.subarray(0, length).equals(prefaceStart.subarray(0, length));
    if (mayBeHttp2 && seen.length < prefaceStart.length) {
      return;
    }
    clearTimeout(timer);
    socket.off("readable", look);
    socket.off("end", leave);
    socket.off("error", ignore);
    socket.unshift(seen);
    decided(mayBeHttp2);
  };
  socket.on("error", ignore);
  // The sockets of an http.Server stay half open when the client ends.
  socket.once("end", leave);
  socket.once("close", () => clearTimeout(timer));
  socket.on("readable", look);
}
