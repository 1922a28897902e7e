import type { HandlerContext } from "@connectrpc/connect";
import type { OperationsFor } from "../access/operations-for.ts";
import type { OperationsView } from "../access/scoped-operations.ts";
import { callerKey } from "./caller.ts";

/** The registry as the maker of a call may see it: all that handlers get of it. */
export type RegistryView = (context: Pick<HandlerContext, "values">) => OperationsView;

/** Makes the view of handlers. */
export function createRegistryView(operationsFor: OperationsFor): RegistryView {
  return ({ values }) => operationsFor(values.get(callerKey).access);
}
