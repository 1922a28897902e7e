import type { MetricKind } from "./metric-record.ts";

/** The families of metrics, one for each case of `longhaul.v1.OperationMetrics`. An operation keeps one of them. */
export type MetricsFamily = "training" | "data_load" | "backtesting" | "custom";

const familyByKind = {
  epoch: "training",
  segment: "data_load",
  bar: "backtesting",
  trade: "backtesting",
  custom: "custom",
} as const satisfies Record<MetricKind, MetricsFamily>;

const familyByWellKnownType: ReadonlyMap<string, MetricsFamily> = new Map([
  ["training", "training"],
  ["data_load", "data_load"],
  ["backtesting", "backtesting"],
]);

/** The family a kind of record belongs to. */
export function familyOfKind(kind: MetricKind): MetricsFamily {
  return familyByKind[kind];
}

/**
 * The family of an operation that has no records yet: a well-known type's own, "custom" for every other type. The
 * first record of another type may still choose a family, see `familyWithRecord`.
 */
export function familyOfType(operationType: string): MetricsFamily {
  return familyByWellKnownType.get(operationType) ?? "custom";
}

/**
 * The family of an operation once it has a record of `kind`. A well-known type keeps its own family; any other type,
 * such as "lstm_training", keeps that of its first record. `current` is the family of the records before, undefined
 * for the first.
 * Throws a TypeError when the record is of another family.
 */
export function familyWithRecord(
  operationType: string,
  current: MetricsFamily | undefined,
  kind: MetricKind,
): MetricsFamily {
  if (!Object.hasOwn(familyByKind, kind)) {
    throw new TypeError(`unknown kind of metric record "${kind}"; known are ${Object.keys(familyByKind).join(", ")}`);
  }
  const family = familyByKind[kind];
  const kept = current ?? familyByWellKnownType.get(operationType) ?? family;
  if (family !== kept) {
    throw new TypeError(
      `a "${kind}" record is of the family ${family}; this "${operationType}" operation keeps ${kept}`,
    );
  }
  return kept;
}
