export { OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
