import type { Model, Value } from "../ir/index.ts";
import type { Note, PassDef } from "../passes/define.ts";
import { float16 } from "../passes/float16/index.ts";
import { runPass } from "../passes/manager.ts";
import { quantizeDynamic } from "../passes/quantize/dynamic.ts";
import { nodeKey, planQuantization } from "../passes/quantize/plan.ts";
import type { RangeMethod } from "../passes/quantize/ranges.ts";
import type { QuantizationRow } from "../passes/quantize/row.ts";
import { quantizeStatic } from "../passes/quantize/static.ts";
import type { ActivationStatistics } from "../passes/quantize/statistics.ts";
import { quantizeWeightsOnly } from "../passes/quantize/weight-only/index.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import type { Step } from "./manifest.ts";
import type { Recipe } from "./ptq/recipe.ts";
import { type MomentsSource, quantizeWeights } from "./quantize-weights.ts";

/** How to make one variant from the simplified model. */
export interface CandidatePlan {
  readonly name: string;
  readonly title: string;
  /** Steps after "simplify", as the manifest shows them. */
  readonly steps: readonly Step[];
  readonly build: (simplified: Model) => Promise<{ readonly model: Model; readonly notes: readonly Note[] }>;
}

export interface CandidateSource {
  readonly row: QuantizationRow;
  readonly statistics: ReadonlyMap<string, ActivationStatistics>;
}

async function apply<P>(pass: PassDef<P>, simplified: Model, params: unknown): Promise<{ model: Model; notes: readonly Note[] }> {
  const model = simplified.clone();
  const { notes } = await runPass(pass, model, params, ortEvaluate);
  return { model, notes };
}

export interface StaticChoice {
  readonly method: RangeMethod;
  readonly percentile?: number;
  readonly biasCorrection?: boolean;
}

const methodTitles: Readonly<Record<RangeMethod, string>> = {
  minmax: "min-max ranges",
  average: "averaged ranges",
  percentile: "percentile ranges",
  mse: "least-error ranges",
  entropy: "least-divergence ranges",
};

const methodName = ({ method, percentile, biasCorrection }: StaticChoice): string =>
  `${method}${percentile ? `-${percentile}` : ""}${biasCorrection ? "-bias" : ""}`;

/** Nodes that a static candidate leaves in float, and how that is said. */
export interface FloatNodes {
  readonly exclude: readonly string[];
  readonly name: string;
  readonly title: string;
}

export const floatNodes = (exclude: readonly string[]): FloatNodes => ({
  exclude,
  name: `mixed-${exclude.length}`,
  title: `INT8, ${exclude.length} node${exclude.length > 1 ? "s" : ""} in float`,
});

/** One estimator for all ranges: quick to make, and what there is until a search has found better. */
export function staticCandidate({ row, statistics }: CandidateSource, choice: StaticChoice): CandidatePlan {
  return {
    name: `int8-${methodName(choice)}`,
    title: `INT8 static, ${methodTitles[choice.method]}${choice.biasCorrection ? ", bias correction" : ""}`,
    steps: [{ pass: quantizeStatic.name, params: { row: row.name, ...choice } }],
    build: (simplified) => apply(quantizeStatic, simplified, { row, statistics, ...choice }),
  };
}

/** What the search for the best way of quantizing found; `float`: nodes that are left out on top. */
export function recipeCandidate({ row }: Pick<CandidateSource, "row">, recipe: Recipe, float?: FloatNodes): CandidatePlan {
  const exclude = [...(recipe.options.exclude ?? []), ...(float?.exclude ?? [])];
  return {
    name: float?.name ?? "int8",
    title: `${float?.title ?? "INT8 static"}, ${recipe.name}`,
    steps: [{ pass: quantizeStatic.name, params: { row: row.name, recipe: recipe.name, exclude } }],
    build: () =>
      apply(quantizeStatic, recipe.model, { row, statistics: recipe.statistics, ...recipe.choices, ...recipe.options, exclude }),
  };
}

export function dynamicCandidate({ row }: CandidateSource, convolutions: boolean): CandidatePlan {
  return {
    name: convolutions ? "int8-dynamic-conv" : "int8-dynamic",
    title: convolutions ? "INT8 dynamic, convolutions too" : "INT8 dynamic",
    steps: [{ pass: quantizeDynamic.name, params: { row: row.name, convolutions } }],
    build: (simplified) => apply(quantizeDynamic, simplified, { row, convolutions }),
  };
}

/** Matrices and tables in blocks of 4 or 8 bits, activations in float: for models whose size is their weights. */
export function weightOnlyCandidate({ row }: Pick<CandidateSource, "row">, bits: 4 | 8, source: MomentsSource): CandidatePlan {
  return {
    name: `weights-int${bits}`,
    title: `INT${bits} weights alone`,
    steps: [{ pass: quantizeWeightsOnly.name, params: { row: row.name, bits } }],
    build: async (simplified) => {
      const model = simplified.clone();
      const { notes } = await quantizeWeights(model, row, { bits }, source);
      return { model, notes };
    },
  };
}

/** Share of the parameters that weight-only quantization would store: matrices of products and tables. */
export function matrixShare(simplified: Model, row: QuantizationRow): number {
  const plan = planQuantization(simplified, { ...row, ops: {} });
  const stored = new Set<Value>(plan.lookups.map(({ node, table }) => node.inputs[table] as Value));
  let total = 0;
  for (const value of simplified.graph.initializers) {
    total += value.constant?.size ?? 0;
    const kinds = [...value.uses].map(({ node }) => row.dynamic[node.opType]);
    if (value.constant?.shape.length === 2 && kinds.some((kind) => kind === "matmul" || kind === "gemm")) stored.add(value);
  }
  return total === 0 ? 0 : [...stored].reduce((sum, value) => sum + (value.constant?.size ?? 0), 0) / total;
}

export function float16Candidate({ statistics }: CandidateSource): CandidatePlan {
  const magnitudes = new Map([...statistics].map(([name, s]) => [name, Math.max(Math.abs(s.min), Math.abs(s.max))]));
  return {
    name: "fp16",
    title: "FP16",
    steps: [{ pass: float16.name, params: {} }],
    build: (simplified) => apply(float16, simplified, { magnitudes }),
  };
}

/**
 * Keys of integer nodes that read a model input directly. Their input is float anyway, so leaving them in float adds no conversion
 * inside the integer region; with their few input channels they often gain nothing from integers and lose the most accuracy.
 */
export function firstNodes(simplified: Model, row: QuantizationRow): FloatNodes | undefined {
  const plan = planQuantization(simplified, row);
  const exclude = [...plan.nodes.values()]
    .filter(({ op, node, activations }) => op.role === "anchor" && activations.some((index) => node.inputs[index]?.isGraphInput))
    .map(({ node }) => nodeKey(node));
  // where everything reads the input, this would be the float model
  if (exclude.length === 0 || exclude.length > plan.nodes.size / 4) return undefined;
  return { exclude, name: "first-float", title: "INT8, first layer in float" };
}

/** Keys of nodes that static quantization would run in integers with weights: what sensitivity is measured for. */
export function quantizableNodes(simplified: Model, row: QuantizationRow): { key: string; opType: string }[] {
  const plan = planQuantization(simplified, row);
  return [...plan.nodes.values()]
    .filter(({ op }) => op.role === "anchor")
    .map(({ node }) => ({ key: nodeKey(node), opType: node.opType }));
}
