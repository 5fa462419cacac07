import type { Candidate } from "./manifest.ts";

/** Limits that the chosen file must keep; null: no limit. */
export interface Budget {
  /** Largest loss of the main metric, in points or the metric's unit. */
  readonly maxDrop: number | null;
  readonly maxSizeBytes: number | null;
  readonly maxLatencyMs: number | null;
}

/** How much worse than the baseline, in the metric's unit; 0 for the baseline itself. */
export const dropOf = (candidate: Candidate): number => -(candidate.accuracyChange?.value ?? 0);
export const ratioOf = (candidate: Candidate): number => candidate.latencyRatio?.value ?? 1;
export const sizeOf = (candidate: Candidate): number => candidate.file?.bytes ?? Number.POSITIVE_INFINITY;

/** The limits that a candidate breaks, as sentences; empty when it keeps them all. */
export function violations(candidate: Candidate, budget: Budget): string[] {
  const broken: string[] = [];
  const drop = dropOf(candidate);
  // 1e-9: a drop of exactly the limit is allowed, whatever its rounding
  if (budget.maxDrop !== null && drop > budget.maxDrop + 1e-9)
    broken.push(`loses ${drop.toFixed(2)} ${unitOf(candidate)}, more than ${budget.maxDrop}`);
  if (budget.maxSizeBytes !== null && sizeOf(candidate) > budget.maxSizeBytes)
    broken.push(`is ${(sizeOf(candidate) / 1e6).toFixed(2)} MB, more than ${(budget.maxSizeBytes / 1e6).toFixed(2)} MB`);
  const latency = candidate.latency?.value;
  if (budget.maxLatencyMs !== null && latency !== undefined && latency > budget.maxLatencyMs)
    broken.push(`takes ${latency.toFixed(2)} ms, more than ${budget.maxLatencyMs} ms`);
  return broken;
}

const unitOf = (candidate: Candidate): string => {
  const unit = candidate.accuracyChange?.unit ?? "";
  return unit === "%" ? "points" : unit;
};

/** Latencies this close are one speed: repeated timings of one and the same graph differ by about as much. */
const sameSpeed = 0.05;

/**
 * Negative when a is the better file of two that both keep the budget: faster; at the same speed the one closer to the original's
 * outputs, because a few hundred labels cannot tell such candidates apart; then more accurate; then smaller.
 */
export function compareCandidates(a: Candidate, b: Candidate): number {
  const speed = ratioOf(a) / ratioOf(b) - 1;
  if (Math.abs(speed) > sameSpeed) return speed;
  const fidelity = fidelityOf(b) - fidelityOf(a);
  if (Math.abs(fidelity) > 0.1) return fidelity;
  const accuracy = dropOf(a) - dropOf(b);
  if (Math.abs(accuracy) > 1e-9) return accuracy;
  return sizeOf(a) - sizeOf(b) || speed || a.name.localeCompare(b.name);
}

/** Signal to noise against the original's outputs, dB. */
const fidelityOf = (candidate: Candidate): number => candidate.others.find(({ metric }) => metric === "sqnr")?.value ?? 0;

/** Differences up to these are none: of time (relative), of accuracy in the metric's unit. */
const noise = { speed: sameSpeed, accuracy: 1e-9 };

/** -1 where a is better than b by more than noise, 1 where it is worse, else 0; for size, time and accuracy. */
const sides = (a: Candidate, b: Candidate): readonly number[] => [
  Math.sign(sizeOf(a) - sizeOf(b)),
  Math.abs(ratioOf(a) / ratioOf(b) - 1) <= noise.speed ? 0 : Math.sign(ratioOf(a) - ratioOf(b)),
  Math.abs(dropOf(a) - dropOf(b)) <= noise.accuracy ? 0 : Math.sign(dropOf(a) - dropOf(b)),
];

/** Names of candidates that no other beats, or equals and is preferred to, in size, time and accuracy at once. */
export function paretoSet(candidates: readonly Candidate[]): string[] {
  const measured = candidates.filter(({ file, outcome }) => file && outcome !== "failed");
  const dominates = (a: Candidate, b: Candidate): boolean => {
    const sign = sides(a, b);
    if (sign.includes(1)) return false;
    return sign.includes(-1) || compareCandidates(a, b) < 0;
  };
  return measured.filter((c) => !measured.some((other) => other !== c && dominates(other, c))).map(({ name }) => name);
}

export interface Choice {
  readonly chosen: Candidate;
  readonly budgetMet: boolean;
  readonly reasons: readonly string[];
}

/**
 * The fastest candidate within the budget. One that is not measurably faster than the original is never preferred to it for speed; it
 * can win by size only where the size budget rules the original out. When nothing keeps the budget, the one that comes nearest.
 */
export function choose(candidates: readonly Candidate[], budget: Budget): Choice {
  const measured = candidates.filter(({ file, outcome }) => file && outcome !== "failed");
  const within = measured.filter((candidate) => violations(candidate, budget).length === 0);
  const original = (candidate: Candidate): boolean => candidate.name === "baseline" || candidate.name === "simplified";
  const faster = within
    .filter((candidate) => !original(candidate) && candidate.latencyVerdict === "faster")
    .sort(compareCandidates);
  if (faster[0])
    return { chosen: faster[0], budgetMet: true, reasons: [`It is the fastest that keeps the budget: ${describe(faster[0])}.`] };
  const float = within.filter(original).sort(compareCandidates);
  if (float[0]) return { chosen: float[0], budgetMet: true, reasons: whyFloat(measured, budget) };
  const smaller = [...within].sort(compareCandidates);
  if (smaller[0])
    return {
      chosen: smaller[0],
      budgetMet: true,
      reasons: ["It is not faster than the original, but the original does not keep the budget."],
    };
  const nearest = [...measured].sort((a, b) => excess(a, budget) - excess(b, budget) || compareCandidates(a, b));
  const chosen = nearest[0];
  if (!chosen) throw new Error("internal: there is no measured candidate, not even the baseline");
  return {
    chosen,
    budgetMet: false,
    reasons: [`No candidate keeps the budget; this one comes nearest: it ${violations(chosen, budget).join(" and ")}.`],
  };
}

const describe = (candidate: Candidate): string => `${(1 / ratioOf(candidate)).toFixed(2)}x the original's speed`;

function whyFloat(measured: readonly Candidate[], budget: Budget): string[] {
  const others = measured.filter(({ name }) => name !== "baseline" && name !== "simplified");
  if (others.length === 0) return ["Nothing but the original could be built."];
  return others.map((candidate) => {
    const broken = violations(candidate, budget);
    if (broken.length > 0) return `${candidate.title} ${broken.join(" and ")}.`;
    return `${candidate.title} is ${candidate.latencyVerdict === "slower" ? "slower than" : "not measurably faster than"} the original (time ratio ${ratioOf(candidate).toFixed(2)}).`;
  });
}

/** Sum of relative overruns: how far outside the budget. */
function excess(candidate: Candidate, budget: Budget): number {
  const over = (value: number | undefined, limit: number | null): number =>
    limit === null || value === undefined ? 0 : Math.max(0, value - limit) / Math.max(Math.abs(limit), 1e-9);
  const drop = budget.maxDrop === null ? 0 : Math.max(0, dropOf(candidate) - budget.maxDrop) / Math.max(budget.maxDrop, 0.1);
  return drop + over(sizeOf(candidate), budget.maxSizeBytes) + over(candidate.latency?.value, budget.maxLatencyMs);
}
