import { binomialCumulative, chiSquared1Tail } from "./distributions.ts";

export interface McNemar {
  /** Samples that only the baseline gets right. */
  readonly lost: number;
  /** Samples that only the candidate gets right. */
  readonly gained: number;
  /** Exact two-sided p: under no difference, `lost` ~ Binomial(lost + gained, ½). */
  readonly exact: number;
  /** Chi-squared with continuity correction, (|lost − gained| − 1)² / (lost + gained), and its p. */
  readonly statistic: number;
  readonly corrected: number;
}

/** McNemar's test from the two discordant counts. (McNemar 1947; correction by Edwards 1948.) */
export function mcNemarFromCounts(lost: number, gained: number): McNemar {
  const discordant = lost + gained;
  if (discordant === 0) return { lost, gained, exact: 1, statistic: 0, corrected: 1 };
  const exact = Math.min(1, 2 * binomialCumulative(Math.min(lost, gained), discordant, 0.5));
  const statistic = Math.max(0, Math.abs(lost - gained) - 1) ** 2 / discordant;
  return { lost, gained, exact, statistic, corrected: chiSquared1Tail(statistic) };
}

/** McNemar's test on right-or-wrong scores of the same samples in the same order; above 0 means right. */
export function mcNemar(baseline: ArrayLike<number>, candidate: ArrayLike<number>): McNemar {
  let lost = 0;
  let gained = 0;
  for (let i = 0; i < baseline.length; i++) {
    const before = (baseline[i] as number) > 0;
    const after = (candidate[i] as number) > 0;
    if (before && !after) lost++;
    if (after && !before) gained++;
  }
  return mcNemarFromCounts(lost, gained);
}
