import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { PullResult } from "./operation-source.ts";

/** Counts what the registry does. Called on hot paths: an implementation only adds numbers. */
export interface OperationsMeter {
  /** What was asked of an operation that has not ended was known here, and young enough. */
  readCached(): void;
  /** It was not, and somebody else's pull was waited for. */
  readCoalesced(): void;
  /** A source was asked: a host by its URL, another server of the same store as "peer", this process as "". */
  pulled(host: string, outcome: PullResult["outcome"], seconds: number): void;
  /** An operation of this server has ended; its snapshot says when what began. */
  ended(info: OperationInfo): void;
}

/** Counts nothing. */
export const noOperationsMeter: OperationsMeter = {
  readCached: () => {},
  readCoalesced: () => {},
  pulled: () => {},
  ended: () => {},
};
