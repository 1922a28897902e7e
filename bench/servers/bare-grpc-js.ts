import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { announce } from "./control.ts";

// grpc-js with nothing around the handler: argument 1 is the GetOperationResponse in hexadecimal, which is decoded once
// and encoded for each call.

const { input, output, parent, name } = OperationsService.method.getOperation;
const answer = fromBinary(output, Buffer.from(process.argv[2] ?? "", "hex"));

const server = new Server();
server.addService(
  {
    getOperation: {
      path: `/${parent.typeName}/${name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: (message) => Buffer.from(toBinary(input, message)),
      requestDeserialize: (bytes) => fromBinary(input, bytes),
      responseSerialize: (message) => Buffer.from(toBinary(output, message)),
      responseDeserialize: (bytes) => fromBinary(output, bytes),
    },
  },
  { getOperation: (_call: unknown, reply: (error: null, message: typeof answer) => void) => reply(null, answer) },
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) {
    throw error;
  }
  announce({ url: `http://127.0.0.1:${port}` });
});
