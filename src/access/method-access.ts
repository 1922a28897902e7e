import type { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { Role } from "./roles.ts";

/** Who may call a method: callers with the role, or everybody, without any credential. */
export type MethodAccess = Role | "everybody";

type NativeMethod = Capitalize<keyof typeof OperationsService.method>;
type LongrunningMethod = "GetOperation" | "ListOperations" | "WaitOperation" | "CancelOperation" | "DeleteOperation";

/** The full name of every method that may be served. */
export type MethodName =
  | `longhaul.v1.OperationsService/${NativeMethod}`
  | `google.longrunning.Operations/${LongrunningMethod}`
  | `grpc.health.v1.Health/${"Check" | "Watch" | "List"}`
  | `grpc.reflection.${"v1" | "v1alpha"}.ServerReflection/ServerReflectionInfo`;

/** Who may call what, on servers that ask callers who they are. A method that is not here is not served. */
export const methodAccess = {
  "longhaul.v1.OperationsService/GetOperation": "viewer",
  "longhaul.v1.OperationsService/BatchGetOperations": "viewer",
  "longhaul.v1.OperationsService/WaitOperation": "viewer",
  "longhaul.v1.OperationsService/ListOperations": "viewer",
  "longhaul.v1.OperationsService/CountOperations": "viewer",
  "longhaul.v1.OperationsService/GetMetrics": "viewer",
  "longhaul.v1.OperationsService/CreateOperation": "operator",
  "longhaul.v1.OperationsService/CancelOperation": "operator",
  "longhaul.v1.OperationsService/RetryOperation": "operator",
  "longhaul.v1.OperationsService/CancelOperations": "admin",
  "longhaul.v1.OperationsService/DeleteOperation": "admin",
  "google.longrunning.Operations/GetOperation": "viewer",
  "google.longrunning.Operations/ListOperations": "viewer",
  "google.longrunning.Operations/WaitOperation": "viewer",
  "google.longrunning.Operations/CancelOperation": "operator",
  "google.longrunning.Operations/DeleteOperation": "admin",
  // Probes carry no credential, and learn nothing but whether the server serves.
  "grpc.health.v1.Health/Check": "everybody",
  "grpc.health.v1.Health/Watch": "everybody",
  "grpc.health.v1.Health/List": "everybody",
  "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "viewer",
  "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "viewer",
} as const satisfies Record<MethodName, MethodAccess>;

/** What a caller may do with an operation only in a role that the method alone does not need. */
export const forceRole: Role = "admin";

/** Who may call a method; undefined when it is not in the table. */
export function accessOf(service: string, method: string): MethodAccess | undefined {
  const table: Readonly<Record<string, MethodAccess>> = methodAccess;
  const name = `${service}/${method}`;
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
