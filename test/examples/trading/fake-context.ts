import { join } from "node:path";
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import type { OperationMetadataSchema } from "../../../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../../../gen/longhaul/v1/operations_service_pb.ts";
import { CancellationController } from "../../../src/cancellation/cancellation-token.ts";
import { createContext } from "../../../src/orchestrator/create-context.ts";
import type { OperationContext } from "../../../src/orchestrator/operation-context.ts";
import type { MetricKind, MetricValues } from "../../../src/progress/metric-record.ts";
import { ProgressBridge } from "../../../src/progress/progress-bridge.ts";
import type { ProgressUpdate, ProgressWriter } from "../../../src/progress/progress-update.ts";

/** A database that does not exist: operations given it read the file, whatever the working directory holds. */
export const noDatabase: string = join(import.meta.dirname, "no-such-folder", "trading.sqlite");

/** What a fake operation is asked to do. */
export interface FakeOperation {
  readonly operationType: string;
  readonly parameters?: JsonObject;
  readonly metadata?: Exclude<MessageInitShape<typeof OperationMetadataSchema>, { $typeName: string }>;
  /** Asked whenever the token is; answers the reason of a cancellation once there is one. */
  readonly probe?: () => string | undefined;
}

/** The context of an operation that runs without a registry; it keeps all that the work reports. */
export class FakeContext {
  readonly context: OperationContext;
  readonly cancellation: CancellationController;
  readonly updates: ProgressUpdate[] = [];
  readonly warnings: string[] = [];
  /** Called after each update. */
  onUpdate: (update: ProgressUpdate) => void = () => {};
  readonly #recorded: { readonly [Kind in MetricKind]: MetricValues[Kind][] } = {
    epoch: [],
    segment: [],
    bar: [],
    trade: [],
    custom: [],
  };

  constructor({ operationType, parameters = {}, metadata = {}, probe }: FakeOperation) {
    this.cancellation = new CancellationController(probe && { probe });
    this.context = createContext({
      request: create(CreateOperationRequestSchema, { operationType, metadata: { ...metadata, parameters } }),
      attempt: 1,
      totalSteps: 0,
      token: this.cancellation.token,
      writer: this.#writer(new ProgressBridge({ operationType })),
      setResult: () => {},
    });
  }

  /** The records of a kind, oldest first. */
  records<Kind extends MetricKind>(kind: Kind): readonly MetricValues[Kind][] {
    return this.#recorded[kind];
  }

  /** The percentages reported, in order. */
  get percentages(): number[] {
    return this.updates.map((update) => update.percentage ?? 0);
  }

  /** Writes to a bridge, too, since that refuses values that do not fit their fields. */
  #writer(bridge: ProgressBridge): ProgressWriter {
    return {
      update: (update) => {
        bridge.update(update);
        this.updates.push(update);
        this.onUpdate(update);
      },
      record: (kind, value) => {
        this.#recorded[kind].push(value);
        return bridge.record(kind, value);
      },
      warn: (message) => {
        bridge.warn(message);
        this.warnings.push(message);
      },
    };
  }
}
