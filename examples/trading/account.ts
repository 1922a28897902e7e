// I1. Cash and units are never negative: there is no credit and no short position.
// I2. Between trades the account is either all cash or all units.

/** What a trade did. */
export interface Fill {
  readonly side: "buy" | "sell";
  /** Units, positive. */
  readonly quantity: number;
  /** Price of one unit, without the fee. */
  readonly price: number;
  /** What a sale brought less what the units had cost, both fees included. Undefined for a purchase. */
  readonly profit?: number;
}

/** An account that holds one instrument or cash. Units may be fractions. */
export class Account {
  readonly #feeRate: number;
  #cash: number;
  #units = 0;
  #cost = 0;

  /** `feeRate` is the share of a trade's value that it costs, 0 to less than 1. */
  constructor(cash: number, feeRate: number) {
    this.#cash = cash;
    this.#feeRate = feeRate;
  }

  /** Units held. */
  get units(): number {
    return this.#units;
  }

  /** Value at a price, without the fee of a sale. */
  equity(price: number): number {
    return this.#cash + this.#units * price;
  }

  /** Turns all cash into units. Undefined when there is none (I2). */
  buy(price: number): Fill | undefined {
    if (this.#cash === 0) return undefined;
    const quantity = this.#cash / (price * (1 + this.#feeRate));
    this.#cost = this.#cash;
    this.#units = quantity;
    this.#cash = 0;
    return { side: "buy", quantity, price };
  }

  /** Turns all units into cash. Undefined when there are none (I2). */
  sell(price: number): Fill | undefined {
    if (this.#units === 0) return undefined;
    const quantity = this.#units;
    this.#cash = quantity * price * (1 - this.#feeRate);
    this.#units = 0;
    return { side: "sell", quantity, price, profit: this.#cash - this.#cost };
  }
}
