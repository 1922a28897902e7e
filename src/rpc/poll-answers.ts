import { create, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type {
  GetOperationResponseSchema,
  WaitOperationResponseSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { keepEncoded } from "./encoded-answers.ts";

type PollSchema = typeof GetOperationResponseSchema | typeof WaitOperationResponseSchema;

/** The last answers that were made of a snapshot: with the operation, and to those who have it already. */
interface Made<S extends PollSchema> {
  whole?: MessageShape<S>;
  notModified?: MessageShape<S>;
}

/**
 * The answers to polls. A snapshot never changes, so what is answered of it is made, and later encoded, once for all who
 * ask; it goes with the snapshot.
 */
export class PollAnswers<S extends PollSchema> {
  readonly #schema: S;
  readonly #made = new WeakMap<OperationInfo, Made<S>>();

  constructor(schema: S) {
    this.#schema = schema;
  }

  /** The answer; `isKnown` to a caller who has the snapshot's revision, and so is not sent the operation again. */
  of(info: OperationInfo, isKnown: boolean, pollAfter: Duration | undefined): MessageShape<S> {
    let made = this.#made.get(info);
    if (!made) {
      made = {};
      this.#made.set(info, made);
    }
    const kind = isKnown ? "notModified" : "whole";
    let answer = made[kind];
    if (!answer || answer.pollAfter !== pollAfter) {
      const init = {
        ...(isKnown ? { notModified: true } : { operation: info }),
        ...(info.freshness && { freshness: info.freshness }),
        ...(pollAfter && { pollAfter }),
      };
      answer = keepEncoded(create(this.#schema, init as MessageInitShape<S>));
      made[kind] = answer;
    }
    return answer;
  }
}
