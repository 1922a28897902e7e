import { fromBinary } from "@bufbuild/protobuf";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { serveConnect } from "./serve-connect.ts";

// connect-node with a handler that has the message ready: argument 1 is the GetOperationResponse in hexadecimal.

const answer = fromBinary(OperationsService.method.getOperation.output, Buffer.from(process.argv[2] ?? "", "hex"));
serveConnect(() => answer);
