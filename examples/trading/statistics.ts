/** Arithmetic mean. Throws a RangeError for an empty list. */
export function mean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("an empty list has no mean");
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Sample standard deviation, with n - 1 in the denominator. Throws a RangeError for fewer than two values. */
export function sampleDeviation(values: readonly number[]): number {
  if (values.length < 2) throw new RangeError("a standard deviation needs at least two values");
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}

/** Trading days of a year, by which daily figures are annualised. */
export const tradingDaysPerYear = 252;

/**
 * Annualised Sharpe ratio of daily returns: their mean over their sample standard deviation, times the square root of
 * 252. The risk-free rate is taken as 0. Undefined for fewer than two returns and for returns that never vary.
 *
 * Source: W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21 (1994), ex post ratio; scaled by time
 * as in its section "Time Dependence".
 */
export function sharpeRatio(dailyReturns: readonly number[]): number | undefined {
  if (dailyReturns.length < 2) return undefined;
  const deviation = sampleDeviation(dailyReturns);
  return deviation === 0 ? undefined : (mean(dailyReturns) / deviation) * Math.sqrt(tradingDaysPerYear);
}
