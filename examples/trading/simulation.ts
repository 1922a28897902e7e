import { Account, type Fill } from "./account.ts";
import type { Bar } from "./bars.ts";
import { Crossover, type CrossoverReading } from "./crossover.ts";

/** How the strategy is set. */
export interface SimulationSettings {
  /** Length of the fast average, in bars. */
  readonly fast: number;
  /** Length of the slow average, in bars; more than `fast`. */
  readonly slow: number;
  /** Cash before the first bar, positive. */
  readonly initialCash: number;
  /** Share of a trade's value that it costs. */
  readonly feeRate: number;
}

/** What one bar brought. */
export interface SimulatedBar {
  readonly bar: Bar;
  /** The trade at the bar's open, if any. */
  readonly fill?: Fill;
  /** The averages after the bar's close, and the signal for the next bar's open. */
  readonly reading: CrossoverReading;
  /** Value of the account at the bar's close. */
  readonly equity: number;
  /** Units held after the bar. */
  readonly position: number;
}

/**
 * Trades the crossover over bars, oldest first. A signal at a bar's close trades at the next bar's open, never
 * earlier, so what is yielded for a bar depends on no later bar. A position still open at the end stays open and is
 * valued at the last close.
 */
export function* simulate(bars: Iterable<Bar>, settings: SimulationSettings): Generator<SimulatedBar, void> {
  const account = new Account(settings.initialCash, settings.feeRate);
  const crossover = new Crossover(settings.fast, settings.slow);
  let reading: CrossoverReading = { signal: "hold" };
  for (const bar of bars) {
    let fill: Fill | undefined;
    if (reading.signal === "buy") fill = account.buy(bar.open);
    if (reading.signal === "sell") fill = account.sell(bar.open);
    reading = crossover.push(bar.close);
    yield { bar, ...(fill && { fill }), reading, equity: account.equity(bar.close), position: account.units };
  }
}
