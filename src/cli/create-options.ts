import type { JsonObject, JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import type { CreateOperationRequestSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { UsageError } from "./report-error.ts";

/** Options of the commands that create an operation. */
export interface CreateOptions {
  readonly name?: string;
  readonly symbol?: string;
  readonly timeframe?: string;
  readonly mode?: string;
  readonly start?: string;
  readonly end?: string;
  readonly param?: readonly string[];
  readonly params?: string;
  readonly label?: readonly string[];
  readonly requestId?: string;
  readonly parent?: string;
  readonly totalSteps?: string;
  readonly timeout?: string;
  readonly retention?: string;
}

/** Adds the options of CreateOptions to a command. */
export function addCreateOptions(command: Command): Command {
  return command
    .option("--name <text>", "name for people")
    .option("--symbol <symbol>", "instrument or data set")
    .option("--timeframe <timeframe>", "bar size, such as 1h")
    .option("--mode <mode>", "mode of the work")
    .option("--start <date>", "first instant of the data, ISO 8601")
    .option("--end <date>", "last instant of the data, ISO 8601")
    .option("--param <key=value>", "parameter of the work; JSON where it parses (repeatable)", collect)
    .option("--params <json>", "parameters of the work as a JSON object")
    .option("--label <key=value>", "label (repeatable)", collect)
    .option("--request-id <id>", "makes the command safe to repeat")
    .option("--parent <id>", "operation that starts this one")
    .option("--total-steps <n>", "steps the work will have")
    .option("--timeout <duration>", "longest run, such as 90s, 15m or 2h")
    .option("--retention <duration>", "how long the record is kept after the end");
}

/** For options that may be given more than once. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** The request the options ask for. Throws a UsageError that names the option at fault. */
export function createRequest(
  operationType: string,
  options: CreateOptions,
): MessageInitShape<typeof CreateOperationRequestSchema> {
  const { name = "", symbol = "", timeframe = "", mode = "", requestId = "", parent = "" } = options;
  return {
    operationType,
    operationName: name,
    requestId,
    parentOperationId: parent,
    labels: Object.fromEntries((options.label ?? []).map((text) => keyValue(text, "--label"))),
    totalSteps: options.totalSteps === undefined ? 0n : wholeNumber(options.totalSteps, "--total-steps"),
    metadata: {
      symbol,
      timeframe,
      mode,
      parameters: parameters(options),
      ...(options.start !== undefined && { startDate: timestampFromDate(date(options.start, "--start")) }),
      ...(options.end !== undefined && { endDate: timestampFromDate(date(options.end, "--end")) }),
    },
    ...(options.timeout !== undefined && {
      executionTimeout: durationFromMs(durationMs(options.timeout, "--timeout")),
    }),
    ...(options.retention !== undefined && { retention: durationFromMs(durationMs(options.retention, "--retention")) }),
  };
}

/** Splits "key=value". */
export function keyValue(text: string, option: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1) {
    throw new UsageError(`${option} is ${JSON.stringify(text)}; it must be key=value`);
  }
  return [text.slice(0, at), text.slice(at + 1)];
}

/** Reads a whole, non-negative number. */
export function wholeNumber(text: string, option: string): bigint {
  if (!/^\d+$/.test(text)) {
    throw new UsageError(`${option} is ${JSON.stringify(text)}; it must be a whole number`);
  }
  return BigInt(text);
}

function parameters({ param = [], params }: CreateOptions): JsonObject {
  const given: JsonObject = {};
  if (params !== undefined) {
    const parsed = parseJson(params);
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      throw new UsageError("--params must be a JSON object");
    }
    Object.assign(given, parsed);
  }
  for (const [key, text] of param.map((one) => keyValue(one, "--param"))) {
    const parsed = parseJson(text);
    given[key] = parsed === undefined ? text : parsed;
  }
  return given;
}

function parseJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

function date(text: string, option: string): Date {
  const parsed = new Date(text);
  if (Number.isNaN(parsed.getTime())) {
    throw new UsageError(`${option} is ${JSON.stringify(text)}; it must be a date such as 2025-01-20`);
  }
  return parsed;
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function durationMs(text: string, option: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? [];
  const factor = unitMs[unit];
  if (number === undefined || factor === undefined) {
    throw new UsageError(`${option} is ${JSON.stringify(text)}; it must be a duration such as 90s, 15m or 2h`);
  }
  return Number(number) * factor;
}
