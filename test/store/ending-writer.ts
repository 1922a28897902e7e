/** The first module of a writer thread that ends when it is told anything, as by an error that nobody expects. */
import { parentPort } from "node:worker_threads";

parentPort?.on("message", () => {
  throw new Error("no memory");
});
parentPort?.postMessage("up");
