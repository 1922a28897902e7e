import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import type { MessageShape } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { announce } from "./control.ts";

const { getOperation } = OperationsService.method;

/** Serves GetOperation by connect-node's router with nothing around the handler, and announces where, and the job. */
export function serveConnect(
  handler: (
    request: MessageShape<typeof getOperation.input>,
  ) => MessageShape<typeof getOperation.output> | Promise<MessageShape<typeof getOperation.output>>,
  made: { readonly jobId?: string } = {},
): void {
  const server = createServer(
    connectNodeAdapter({ routes: (router) => router.service(OperationsService, { getOperation: handler }) }),
  );
  server.listen(0, "127.0.0.1", () => {
    announce({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ...made });
  });
}
