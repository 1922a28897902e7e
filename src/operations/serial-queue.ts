/** Runs asynchronous tasks one after the other, in the order they came. One that fails does not stop the next. */
export class SerialQueue {
  #tail: Promise<unknown> = Promise.resolve();

  /** Runs the task after all earlier ones and answers what it answers. Calling it from inside a task never ends. */
  run<T>(task: () => Promise<T> | T): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch(() => {});
    return result;
  }
}
