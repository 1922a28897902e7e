import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { paintStatus, type Screen, statusName } from "./render-operation.ts";
import { fitLine, plainText } from "./terminal-text.ts";

const statusColumns = "COMPLETED".length;

/** Operations as a table with a head, a line for each; times are in UTC. Nothing for no operations. */
export function operationTable(operations: readonly OperationInfo[], screen: Screen): string[] {
  if (operations.length === 0) {
    return [];
  }
  const idColumns = Math.max(...operations.map(({ operationId }) => operationId.length));
  const head = `${"CREATED (UTC)".padEnd(19)}  ${"STATUS".padEnd(statusColumns)}   DONE  ${"ID".padEnd(idColumns)}  NAME`;
  const rows = operations.map(({ operationId, operationName, status, progress, createdAt }) => {
    const created = createdAt ? timestampDate(createdAt).toISOString().slice(0, 19).replace("T", " ") : "";
    const padding = " ".repeat(Math.max(0, statusColumns - statusName(status).length));
    const done = `${Math.floor(progress?.percentage ?? 0)} %`.padStart(5);
    const id = operationId.padEnd(idColumns);
    return `${created.padEnd(19)}  ${paintStatus(status, screen)}${padding}  ${done}  ${id}  ${plainText(operationName)}`;
  });
  return [head, ...rows].map((line) => fitLine(line.trimEnd(), screen.width));
}
