import type { IncomingHttpHeaders } from "node:http2";

/**
 * The headers of a request as a `Headers`. Reading one costs a look into what Node.js has parsed; the real
 * object is made only for those who change or walk through them.
 */
export class StreamHeaders implements Headers {
  readonly #received: IncomingHttpHeaders;
  #made: Headers | undefined;

  constructor(received: IncomingHttpHeaders) {
    this.#received = received;
  }

  get(name: string): string | null {
    if (this.#made) {
      return this.#made.get(name);
    }
    const value = this.#received[name.toLowerCase()];
    return (typeof value === "object" ? value.join(", ") : value) ?? null;
  }

  has(name: string): boolean {
    return this.get(name) !== null;
  }

  append(name: string, value: string): void {
    this.#real.append(name, value);
  }

  delete(name: string): void {
    this.#real.delete(name);
  }

  set(name: string, value: string): void {
    this.#real.set(name, value);
  }

  getSetCookie(): string[] {
    return this.#real.getSetCookie();
  }

  forEach(...args: Parameters<Headers["forEach"]>): void {
    this.#real.forEach(...args);
  }

  entries(): ReturnType<Headers["entries"]> {
    return this.#real.entries();
  }

  keys(): ReturnType<Headers["keys"]> {
    return this.#real.keys();
  }

  values(): ReturnType<Headers["values"]> {
    return this.#real.values();
  }

  [Symbol.iterator](): ReturnType<Headers["entries"]> {
    return this.#real.entries();
  }

  get #real(): Headers {
    if (!this.#made) {
      this.#made = new Headers();
      for (const [name, value] of Object.entries(this.#received)) {
        for (const one of name.startsWith(":") || value === undefined ? [] : [value].flat()) {
          this.#made.append(name, one);
        }
      }
    }
    return this.#made;
  }
}
