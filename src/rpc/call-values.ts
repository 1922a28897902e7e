import type { ContextKey, ContextValues } from "@connectrpc/connect";

/**
 * What interceptors and handlers tell each other of one call: as connect's own, whose functions are made anew for each
 * call. A value is a property under its key's symbol.
 */
export class CallValues implements ContextValues {
  [id: symbol]: unknown;

  get<T>(key: ContextKey<T>): T {
    return key.id in this ? (this[key.id] as T) : key.defaultValue;
  }

  set<T>(key: ContextKey<T>, value: T): this {
    this[key.id] = value;
    return this;
  }

  delete(key: ContextKey<unknown>): this {
    delete this[key.id];
    return this;
  }
}
