import { type CandidatePlan, type CandidateSource, floatNodes, type StaticChoice, staticCandidate } from "./candidates.ts";
import type { Sensitivity } from "./manifest.ts";

/** A node whose own noise is this much above the typical node's stands out (dB). */
const outlier = 8;

/**
 * Mixed-precision plans, fewest float nodes first: the worst 1, 2, 4, … nodes by measured sensitivity. When the budget is kept already,
 * only the nodes that stand out are worth an attempt at a better model of the same kind.
 */
export function* mixedCandidates(
  source: CandidateSource,
  choice: StaticChoice,
  sensitivity: readonly Sensitivity[],
  budgetMet: boolean,
): Generator<CandidatePlan> {
  const worst = sensitivity.map(({ node }) => node);
  if (budgetMet) {
    const median = sensitivity[Math.floor(sensitivity.length / 2)]?.sqnr ?? 0;
    const standOut = sensitivity.filter(({ sqnr }) => sqnr < median - outlier).length;
    if (standOut > 0) yield staticCandidate(source, choice, floatNodes(worst.slice(0, standOut)));
    return;
  }
  for (let count = 1; count <= worst.length / 2; count *= 2)
    yield staticCandidate(source, choice, floatNodes(worst.slice(0, count)));
}
