/** The q-quantile (0 to 1) of sorted numbers, with linear interpolation between neighbours (the usual "type 7"). NaN when empty. */
export function quantileOfSorted(sorted: ArrayLike<number>, q: number): number {
  if (sorted.length === 0) return Number.NaN;
  const position = Math.min(Math.max(q, 0), 1) * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low === high ? low : low + (high - low) * (position - below);
}

/** Sorted copy, numerically. */
export const sortedNumbers = (values: ArrayLike<number>): Float64Array => Float64Array.from(values).sort();

export const percentile = (values: ArrayLike<number>, percent: number): number =>
  quantileOfSorted(sortedNumbers(values), percent / 100);

export const median = (values: ArrayLike<number>): number => percentile(values, 50);

/** Arithmetic mean; NaN when empty. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum / values.length;
}

/** Sample standard deviation (n − 1). */
export function standardDeviation(values: ArrayLike<number>): number {
  const center = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += ((values[i] as number) - center) ** 2;
  return Math.sqrt(sum / (values.length - 1));
}
