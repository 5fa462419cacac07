import { z } from "zod";
import type { Model } from "../ir/index.ts";
import type { Note } from "../passes/define.ts";
import { type HalfType, halfTypes, softenMasks, usualHalf, watchRanges } from "../passes/float16/index.ts";
import { islandsOf } from "../passes/float16/islands.ts";
import { ortNode } from "../runtime/ort-node.ts";
import type { TargetDef } from "../targets/index.ts";
import type { RunOptions } from "../util/progress.ts";
import { compareModel, type Reference, referenceOf } from "./half-compare.ts";
import { type Converted, type ConvertParams, convert, type Refined, refine } from "./half-refine.ts";
import { observe } from "./observe.ts";
import type { MomentsSource } from "./quantize-weights.ts";

/** What conversion to a 16-bit float type can be told. */
export interface HalfRequest {
  /** Weights in 16 bits behind a Cast each; activations stay float32. */
  readonly weightsOnly?: boolean | undefined;
  /** Inputs and outputs in 16 bits too. */
  readonly halfIo?: boolean | undefined;
  /** Largest relative error of an output, root of squares; default 0.02 for float16, 0.1 for bfloat16. */
  readonly maxError?: number | undefined;
  readonly exclude?: readonly string[] | undefined;
}

export const halfReportSchema = z.object({
  dtype: z.enum(halfTypes),
  /** Nodes that compute in 16 bits, and float32 ones beside them. */
  halfNodes: z.number(),
  floatNodes: z.number(),
  /** Casts of activations, those at inputs and outputs included. */
  casts: z.number(),
  /** Constants stored in 16 bits, and their bytes before. */
  stored: z.number(),
  storedBytes: z.number(),
  /** Float32 nodes between 16-bit ones; none where nothing computes in 16 bits. */
  islands: z.array(z.object({ nodes: z.array(z.string()), reasons: z.array(z.string()) })),
  /** Constants of masks (-1e9) that became -10000, which does the same before a Softmax. */
  masks: z.number(),
  /** Where ranges of activations come from. */
  ranges: z.enum(["calibration", "unknown"]),
  /** Null where the float model runs on no inputs at hand. */
  comparison: z
    .object({
      inputs: z.enum(["calibration", "random"]),
      runs: z.number(),
      relativeError: z.number(),
      bound: z.number(),
      sqnr: z.number(),
      changed: z.number(),
      /** Nodes that measuring took out of 16 bits. */
      removed: z.array(z.string()),
    })
    .nullable(),
});
export type HalfReport = z.infer<typeof halfReportSchema>;

/** Rounding to 11 bits leaves 1e-4 to 1e-2 after a hundred layers, to 8 bits eight times that; what overflows or underflows leaves far more. */
const usualBound: Readonly<Record<HalfType, number>> = { float16: 0.02, bfloat16: 0.1 };

export interface HalfResult {
  readonly model: Model;
  readonly notes: readonly Note[];
  readonly report: HalfReport;
  readonly samples: number;
  readonly warnings: readonly string[];
}

/**
 * Converts a simplified model to float16 or bfloat16 for a target: ranges from calibration samples where there are any, float32 where
 * they do not fit or the target has no kernel, then a comparison with the float model in a process of its own, which takes back what
 * breaks the result.
 */
export async function convertToHalf(
  original: Model,
  dtype: HalfType,
  target: TargetDef,
  request: HalfRequest,
  source: MomentsSource | undefined,
  options: RunOptions = {},
): Promise<HalfResult> {
  // ranges do not depend on the runtime: the fastest one measures them
  const native = source && { ...source, executor: ortNode };
  const reference = await referenceOf(original, native);
  const { model: float, softened } = await withSoftMasks(original, dtype, reference, request, target, options);
  const seen = native && !request.weightsOnly ? await rangesOf(float, native) : undefined;
  const params: ConvertParams = {
    dtype,
    weightsOnly: request.weightsOnly ?? false,
    keepIo: !request.halfIo,
    exclude: [...(request.exclude ?? [])],
    target: target.name,
    ...(target.quantization.half ? { row: target.quantization.half } : {}),
    ...(seen ? { magnitudes: seen.magnitudes, sums: seen.sums } : {}),
  };
  const bound = request.maxError ?? usualBound[dtype];
  const threads = source?.threads;
  const result = reference
    ? await refine(float, params, {
        ...options,
        bound,
        compare: (model) => compareModel(model, reference, target.executor, { ...options, threads }),
      })
    : await convert(float, params);
  const ranges = seen ? "calibration" : "unknown";
  return {
    model: result.model,
    notes: result.notes,
    samples: seen?.samples ?? 0,
    report: { ...reportOf(result, dtype, ranges, reference, bound), masks: softened },
    warnings: warningsOf(result, dtype, ranges, reference, target, request.weightsOnly ?? false),
  };
}

/** The model with masks that fit into float16, where it gives the same; itself otherwise. */
async function withSoftMasks(
  float: Model,
  dtype: HalfType,
  reference: Reference | undefined,
  request: HalfRequest,
  target: TargetDef,
  options: RunOptions,
): Promise<{ model: Model; softened: number }> {
  const model = float.clone();
  const { half = usualHalf } = target.quantization;
  const wanted = dtype === "float16" && half.float16 === "all" && !request.weightsOnly;
  const softened = wanted ? softenMasks(model) : 0;
  if (softened === 0 || !reference) return { model: float, softened: 0 };
  const { relativeError, notFinite } = await compareModel(model, reference, target.executor, options);
  return relativeError < 1e-4 && notFinite === undefined ? { model, softened } : { model: float, softened: 0 };
}

interface Ranges {
  readonly magnitudes: ReadonlyMap<string, number>;
  readonly sums: ReadonlyMap<string, number>;
  readonly samples: number;
}

/** Largest magnitudes and sums over the calibration samples. */
export async function rangesOf(float: Model, source: MomentsSource): Promise<Ranges> {
  const { model, watches } = watchRanges(float);
  const observations = watches.map(({ output }) => ({ name: output }));
  const statistics = await observe(model, observations, source.samples(), source);
  const of = (kind: "magnitude" | "sum"): Map<string, number> =>
    new Map(
      watches
        .filter((watch) => watch.kind === kind)
        .map((watch) => [watch.of, statistics.get(watch.output)?.max ?? Number.NEGATIVE_INFINITY] as const)
        .filter(([, max]) => max >= 0),
    );
  return { magnitudes: of("magnitude"), sums: of("sum"), samples: [...statistics.values()][0]?.samples ?? 0 };
}

const isRefined = (result: Converted): result is Refined => "comparison" in result;

function reportOf(
  result: Converted,
  dtype: HalfType,
  ranges: HalfReport["ranges"],
  reference: Reference | undefined,
  bound: number,
): Omit<HalfReport, "masks"> {
  const { plan, emitted } = result;
  return {
    dtype,
    halfNodes: plan.half.size,
    floatNodes: plan.floats.size,
    casts: emitted.casts,
    stored: emitted.stored,
    storedBytes: emitted.storedBytes,
    islands: islandsOf(plan).map(({ nodes, reasons }) => ({ nodes: [...nodes], reasons: [...reasons] })),
    ranges,
    comparison:
      reference && isRefined(result)
        ? {
            inputs: reference.inputs,
            runs: reference.feeds.length,
            relativeError: result.comparison.relativeError,
            bound,
            sqnr: result.comparison.sqnr,
            changed: result.comparison.changed,
            removed: [...result.removed],
          }
        : null,
  };
}

function warningsOf(
  result: Converted,
  dtype: HalfType,
  ranges: HalfReport["ranges"],
  reference: Reference | undefined,
  { name }: TargetDef,
  weightsOnly: boolean,
): string[] {
  const computes = result.plan.half.size > 0;
  const stored = result.emitted.widened.size > 0;
  return [
    ...(ranges === "unknown" && computes
      ? ["Ranges of activations are unknown: give calibration data (--data) so that values beyond the type's range are found."]
      : []),
    ...(!computes && stored && !weightsOnly
      ? [`No node computes in ${dtype} on ${name}: weights are stored in ${dtype}, arithmetic stays float32.`]
      : []),
    ...(reference ? [] : ["The float model does not run on random inputs, so the result was not compared with it."]),
  ];
}
