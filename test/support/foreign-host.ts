import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceClientConstructor,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { onTestFinished } from "vitest";
import { protoDirectories } from "./proto-directories.ts";

/**
 * A host as another team would write it: from the protos alone, with the host profile's four methods, and with none of
 * the fields set that a host may leave out (revision, metrics_cursor, the records' sequences, the cancellation's hops).
 */
export interface ForeignHost {
  readonly url: string;
  /** How often a method was called. */
  calls(method: string): number;
  /** Goes on by an epoch, of ten. */
  train(operationId: string): void;
  /** Ends the operation as COMPLETED. */
  complete(operationId: string): void;
  /** How often each operation was begun. */
  begun(operationId: string): number;
}

interface Operation {
  operation_id: string;
  operation_type: string;
  status: string;
  progress: { percentage: number; current_step: string };
  result_summary?: object;
}

interface Epoch {
  epoch: number;
  train_loss: number;
  val_loss: number;
}

type Handler<Request> = (call: ServerUnaryCall<Request, object>, answer: sendUnaryData<object>) => void;

/** Starts the host; it stops when the running test ends. */
export async function startForeignHost(): Promise<ForeignHost> {
  const operations = new Map<string, Operation>();
  const epochs = new Map<string, Epoch[]>();
  const called: string[] = [];
  const begun: string[] = [];
  const known = <Request extends { operation_id: string }>(
    method: string,
    use: (operation: Operation, request: Request) => object,
  ): Handler<Request> => {
    return ({ request }, answer) => {
      called.push(method);
      const operation = operations.get(request.operation_id);
      if (operation) {
        answer(null, use(operation, request));
      } else {
        answer({ code: status.NOT_FOUND, details: `no operation ${request.operation_id}` });
      }
    };
  };
  const createOperation: Handler<Operation> = ({ request: { operation_id, operation_type } }, answer) => {
    called.push("CreateOperation");
    if (!operations.has(operation_id)) {
      begun.push(operation_id);
      const progress = { percentage: 0, current_step: "waiting for data" };
      operations.set(operation_id, { operation_id, operation_type, status: "OPERATION_STATUS_RUNNING", progress });
      epochs.set(operation_id, []);
    }
    answer(null, { operation: operations.get(operation_id) });
  };

  const server = new Server();
  server.addService(loadService(), {
    CreateOperation: createOperation,
    GetOperation: known("GetOperation", (operation) => ({ operation })),
    CancelOperation: known("CancelOperation", (operation) => {
      operation.status = "OPERATION_STATUS_CANCELLED";
      return { operation };
    }),
    GetMetrics: known("GetMetrics", ({ operation_id }, { cursor }: { operation_id: string; cursor: number }) => {
      const all = epochs.get(operation_id) ?? [];
      return { metrics: { training: { epochs: all.slice(cursor) } }, new_cursor: all.length };
    }),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  onTestFinished(() => server.forceShutdown());

  return {
    url: `http://127.0.0.1:${port}`,
    calls: (method) => called.filter((name) => name === method).length,
    begun: (operationId) => begun.filter((id) => id === operationId).length,
    train: (operationId) => {
      const done = epochs.get(operationId);
      const operation = operations.get(operationId);
      if (done && operation) {
        const epoch = done.length + 1;
        done.push({ epoch, train_loss: 1 / epoch, val_loss: 2 / epoch });
        operation.progress = { percentage: 10 * epoch, current_step: `epoch ${epoch}` };
      }
    },
    complete: (operationId) => {
      const operation = operations.get(operationId);
      if (operation) {
        operation.status = "OPERATION_STATUS_COMPLETED";
        operation.result_summary = { fields: { accuracy: { numberValue: 0.75 } } };
      }
    },
  };
}

function loadService() {
  const definition = loadSync("longhaul/v1/operations_service.proto", {
    includeDirs: protoDirectories,
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
  });
  const { longhaul } = loadPackageDefinition(definition) as unknown as {
    longhaul: { v1: { OperationsService: ServiceClientConstructor } };
  };
  return longhaul.v1.OperationsService.service;
}
