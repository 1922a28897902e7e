import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Turns one parameter's value, undefined when it was not given, into what the work uses, or throws a RangeError. */
export type ParameterReader<T> = (name: string, value: JsonValue | undefined) => T;

/** What a number must be. */
export interface NumberLimits {
  /** The value when none is given. */
  readonly default: number;
  /** The smallest value allowed. */
  readonly min: number;
  /** The largest value allowed. */
  readonly max: number;
}

/**
 * Reads an operation's parameters by a table of readers, one for each parameter the operation knows.
 * Throws a RangeError naming the parameter when it is unknown or its reader refuses it.
 */
export function readParameters<T extends object>(
  parameters: JsonObject,
  readers: { readonly [Name in keyof T & string]: ParameterReader<T[Name]> },
): T {
  const known = Object.keys(readers);
  for (const name of Object.keys(parameters)) {
    // A misspelt parameter would otherwise run with its default, unnoticed.
    if (!known.includes(name)) throw parameterError(name, `is unknown; known are ${known.join(", ")}`);
  }
  const entries = Object.entries<ParameterReader<unknown>>(readers);
  return Object.fromEntries(entries.map(([name, read]) => [name, read(name, parameters[name])])) as T;
}

/** A number between `min` and `max`. */
export function numberBetween(limits: NumberLimits): ParameterReader<number> {
  return (name, value = limits.default) => {
    if (typeof value !== "number" || !(value >= limits.min && value <= limits.max)) {
      throw parameterError(name, `must be a number from ${limits.min} to ${limits.max}, not ${JSON.stringify(value)}`);
    }
    return value;
  };
}

/** A whole number between `min` and `max`. */
export function integerBetween(limits: NumberLimits): ParameterReader<number> {
  return (name, value = limits.default) => {
    if (!Number.isInteger(value) || Number(value) < limits.min || Number(value) > limits.max) {
      const range = `from ${limits.min} to ${limits.max}`;
      throw parameterError(name, `must be a whole number ${range}, not ${JSON.stringify(value)}`);
    }
    return Number(value);
  };
}

/** A text that is not empty. */
export function textOr(fallback: string): ParameterReader<string> {
  return (name, value = fallback) => {
    if (typeof value !== "string" || value === "") {
      throw parameterError(name, `must be a text that is not empty, not ${JSON.stringify(value)}`);
    }
    return value;
  };
}

/** Milliseconds to pause after each piece of work, so that people can watch it. Default 0, at most a minute. */
export const delayMs: ParameterReader<number> = numberBetween({ default: 0, min: 0, max: 60_000 });

/** The error of a parameter, as the caller knows it. */
export function parameterError(name: string, fault: string): RangeError {
  return new RangeError(`parameters.${name}: ${fault}`);
}
