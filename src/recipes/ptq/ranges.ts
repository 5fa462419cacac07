import { encodeOnnx } from "../../formats/onnx/index.ts";
import { type Model, toFloat32, type Value } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import {
  producersOf,
  type QuantizationChoices,
  type RangeCandidate,
  rangeCandidates,
  rangeIsFree,
  type WeightCandidate,
  weightCandidates,
} from "../../passes/quantize/choices.ts";
import { planQuantization, type QuantizationPlan } from "../../passes/quantize/plan.ts";
import { buildProbe, type ProbeSubjects } from "../../passes/quantize/probe.ts";
import { chooseRange, type Range, type RangeMethod } from "../../passes/quantize/ranges.ts";
import type { QuantizationRow } from "../../passes/quantize/row.ts";
import { scaleGroups } from "../../passes/quantize/scales.ts";
import type { ActivationStatistics } from "../../passes/quantize/statistics.ts";
import type { WeightChoice } from "../../passes/quantize/weights.ts";
import type { PtqContext } from "./context.ts";

/** What was measured for one tensor's candidates. */
export interface MeasuredChoice {
  readonly subject: string;
  readonly kind: "activation" | "weight";
  readonly chosen: string;
  /** Relative squared error of the reading ops' results, by candidate. */
  readonly errors: Readonly<Record<string, number>>;
}

export interface RangeSearch {
  readonly choices: QuantizationChoices;
  readonly measured: readonly MeasuredChoice[];
}

/** Bits of a weight, by the initializer's name; 8 unless said otherwise. */
export type BitsOf = (weight: string) => number;

interface Groups {
  readonly values: readonly string[];
  readonly candidates: readonly RangeCandidate[];
}

function groupsOf(plan: QuantizationPlan, row: QuantizationRow, statistics: ReadonlyMap<string, ActivationStatistics>): Groups[] {
  const producers = producersOf(plan);
  const groups = new Map<Value, Value[]>();
  for (const [value, root] of scaleGroups(plan)) groups.set(root, [...(groups.get(root) ?? []), value]);
  return [...groups.values()].flatMap((values) => {
    if (!values.every((value) => rangeIsFree(value, producers))) return [];
    const own = values.flatMap((value) => statistics.get(value.name) ?? []);
    if (own.length === 0) return [];
    return [{ values: values.map(({ name }) => name), candidates: rangeCandidates(own, row) }];
  });
}

function weightsOf(plan: QuantizationPlan, row: QuantizationRow, bitsOf: BitsOf) {
  const found = new Map<string, ProbeSubjects["weights"][number]>();
  for (const { node, weight } of plan.nodes.values()) {
    const value = weight && node.inputs[weight.index];
    if (!weight || !value || found.has(value.name)) continue;
    const bits = bitsOf(value.name);
    const candidates: WeightCandidate[] = weightCandidates(value, weight.axis, row, bits);
    found.set(value.name, { weight: value.name, axis: weight.axis, bits, candidates });
  }
  return [...found.values()];
}

/**
 * Chooses each activation's range and each weight's scales by what they do to the results of the ops that read them, measured on
 * calibration samples in one model that computes all candidates side by side. Memory does not grow with the number of samples.
 */
export async function searchRanges(
  simplified: Model,
  context: PtqContext,
  options: { readonly exclude?: readonly string[]; readonly bitsOf?: BitsOf } = {},
): Promise<RangeSearch> {
  const { row, statistics } = context;
  const model = simplified.clone();
  inferShapes(model);
  const plan = planQuantization(model, row, new Set(options.exclude));
  const subjects = { groups: groupsOf(plan, row, statistics), weights: weightsOf(plan, row, options.bitsOf ?? (() => 8)) };
  const probe = buildProbe(model, plan, row, subjects);
  const sums = await measure(probe.model, context);
  const measured: MeasuredChoice[] = [];
  const ranges = new Map<string, Range>();
  const weights = new Map<string, WeightChoice>();
  subjects.groups.forEach(({ values, candidates }, i) => {
    const errors = errorsOf(sums, probe.groups[i], candidates);
    const best = leastOf(candidates, errors);
    for (const value of values) ranges.set(value, best.range);
    measured.push({ subject: values[0] as string, kind: "activation", chosen: best.method, errors });
  });
  subjects.weights.forEach(({ weight, candidates, bits }, i) => {
    const errors = errorsOf(sums, probe.weights[i], candidates);
    const best = leastOf(candidates, errors);
    weights.set(weight, { bits, scales: best.scales });
    measured.push({ subject: weight, kind: "weight", chosen: best.method, errors });
  });
  return { choices: { ranges, weights, biases: new Map() }, measured };
}

/** Sums of the probe's outputs over the samples. */
async function measure(model: Model, context: PtqContext): Promise<Map<string, Float64Array>> {
  const sums = new Map<string, Float64Array>();
  if (model.graph.outputs.length === 0) return sums;
  // the quantize nodes must round; fused into integer ops they would measure something else
  const session = await context.executor.load(encodeOnnx(model), {
    threads: context.threads,
    config: { "session.disable_quant_qdq": "1" },
  });
  try {
    let done = 0;
    for (const feeds of context.feeds) {
      context.options.signal?.throwIfAborted();
      for (const [name, tensor] of Object.entries(await session.run(feeds))) {
        const sum = sums.get(name) ?? new Float64Array(tensor.size);
        toFloat32(tensor).forEach((value, i) => {
          sum[i] = (sum[i] as number) + value;
        });
        sums.set(name, sum);
      }
      context.options.onProgress?.({ step: "ranges", done: ++done, total: context.feeds.length });
    }
  } finally {
    await session.release();
  }
  return sums;
}

function errorsOf(
  sums: ReadonlyMap<string, Float64Array>,
  output: string | undefined,
  candidates: readonly { readonly method: string }[],
): Record<string, number> {
  const own = output === undefined ? undefined : sums.get(output);
  return Object.fromEntries(candidates.map(({ method }, i) => [method, own?.[i] ?? 0]));
}

/** The candidate with the least error; on equal errors the earlier one. */
function leastOf<C extends { readonly method: string }>(candidates: readonly C[], errors: Readonly<Record<string, number>>): C {
  return candidates.reduce((best, next) => ((errors[next.method] ?? 0) < (errors[best.method] ?? 0) ? next : best));
}

/** Every free range by one estimator; values that share a scale take the union. */
export function uniformRanges(
  simplified: Model,
  { row, statistics }: PtqContext,
  method: RangeMethod,
  percentile?: number,
): Map<string, Range> {
  const model = simplified.clone();
  inferShapes(model);
  const ranges = new Map<string, Range>();
  const options = { symmetric: row.activation.symmetric, ...(percentile === undefined ? {} : { percentile }) };
  for (const { values } of groupsOf(planQuantization(model, row), row, statistics)) {
    const own = values.flatMap((value) => statistics.get(value) ?? []).map((s) => chooseRange(s, method, options));
    const range = { min: Math.min(...own.map(({ min }) => min)), max: Math.max(...own.map(({ max }) => max)) };
    for (const value of values) ranges.set(value, range);
  }
  return ranges;
}
