import { Code } from "../../gen/google/rpc/code_pb.ts";

const names = new Map<number, string>(Object.entries(Code).map(([name, code]) => [code, name]));

/** The names of all codes, OK first. */
export const codeNames: readonly string[] = [...names.values()];

/** The name of a code as google.rpc.Code has it, "NOT_FOUND"; Connect's codes are the same numbers. */
export function codeName(code: number): string {
  return names.get(code) ?? "UNKNOWN";
}
