import type { CandidatePlan, FloatNodes } from "./candidates.ts";
import { floatNodes } from "./candidates.ts";
import type { Sensitivity } from "./manifest.ts";

/** A node that moves the outputs this many times as much as the typical node stands out. */
const outlier = 6;

/**
 * Mixed-precision plans, fewest float nodes first: the worst 1, 2, 4, … nodes by measured sensitivity. When the budget is kept already,
 * only the nodes that stand out are worth an attempt at a better model of the same kind.
 */
export function* mixedCandidates(
  make: (float: FloatNodes) => CandidatePlan,
  sensitivity: readonly Sensitivity[],
  budgetMet: boolean,
): Generator<CandidatePlan> {
  const worst = sensitivity.map(({ node }) => node);
  if (budgetMet) {
    const median = sensitivity[Math.floor(sensitivity.length / 2)]?.divergence ?? 0;
    const standOut = sensitivity.filter(({ divergence }) => divergence > outlier * median).length;
    if (standOut > 0 && standOut <= worst.length / 4) yield make(floatNodes(worst.slice(0, standOut)));
    return;
  }
  for (let count = 1; count <= worst.length / 2; count *= 2) yield make(floatNodes(worst.slice(0, count)));
}
