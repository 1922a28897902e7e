import { connect } from "node:net";

/** Whether something takes connections on a port of 127.0.0.1 now. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const settle = (does: boolean) => {
      socket.destroy();
      resolve(does);
    };
    socket.once("connect", () => settle(true)).once("error", () => settle(false));
  });
}
