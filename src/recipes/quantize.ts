import { z } from "zod";
import type { Model, PreparedSample } from "../ir/index.ts";
import type { EvalConfig } from "../measure/evaluate-config.ts";
import type { Note, PassDef } from "../passes/define.ts";
import type { HalfType } from "../passes/float16/index.ts";
import { runPass } from "../passes/manager.ts";
import { quantizeDynamic } from "../passes/quantize/dynamic.ts";
import { checkLegality } from "../passes/quantize/legality.ts";
import { type RangeMethod, rangeMethods } from "../passes/quantize/ranges.ts";
import type { QuantizationRow } from "../passes/quantize/row.ts";
import { quantizeStatic, valuesToObserve } from "../passes/quantize/static.ts";
import type { ActivationStatistics } from "../passes/quantize/statistics.ts";
import type { WeightReport } from "../passes/quantize/weight-only/index.ts";
import { simplify } from "../passes/simplify/index.ts";
import { upgradeOpset } from "../passes/upgrade-opset/index.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import { fileBytes, loadModel, saveModel } from "../runtime/model-file.ts";
import type { TargetDef } from "../targets/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { checkLoads } from "./check-loads.ts";
import { coverageSchema, measureCoverage } from "./coverage.ts";
import { convertToHalf, type HalfRequest, type HalfResult, halfReportSchema } from "./half-precision.ts";
import { noteSchema, quantizationSchema } from "./manifest.ts";
import { type Observation, observe } from "./observe.ts";
import { type QuantizeMethod, quantizeMethods, takesSamples, targetNamed, usualMethod } from "./quantize-method.ts";
import { type StaticSearchRequest, searchStatic } from "./quantize-search.ts";
import {
  type MomentsSource,
  productRatio,
  quantizeWeights,
  type WeightOnlyRequest,
  weightReportSchema,
} from "./quantize-weights.ts";
import { openSetup, type Setup } from "./setup.ts";

export interface QuantizeRequest {
  /** Model and, for static quantization, the calibration data. */
  readonly evaluation: EvalConfig;
  readonly output: string;
  /** Default: what the target's row asks for, static integers in most. */
  readonly method?: QuantizeMethod | undefined;
  /** Default "auto": a search on the calibration samples; else one estimator for all activations. */
  readonly ranges?: RangeMethod | "auto" | undefined;
  /** For "auto". */
  readonly search?: Omit<StaticSearchRequest, "exclude"> | undefined;
  readonly percentile?: number | undefined;
  readonly biasCorrection?: boolean | undefined;
  readonly exclude?: readonly string[] | undefined;
  readonly convolutions?: boolean | undefined;
  readonly target?: string | undefined;
  /** Default 100. */
  readonly calibrationSamples?: number | undefined;
  /** For method "weight-only"; data are optional there. */
  readonly weights?: WeightOnlyRequest | undefined;
  /** For methods "fp16" and "bf16"; data are optional there. */
  readonly half?: Omit<HalfRequest, "exclude"> | undefined;
}

export const quantizeReportSchema = z.object({
  model: z.object({ path: z.string(), bytes: z.number(), digest: z.string() }),
  original: z.object({ path: z.string(), bytes: z.number() }),
  method: z.enum(quantizeMethods),
  ranges: z.enum(["auto", ...rangeMethods]).nullable(),
  /** What the search found: the way of quantizing, its distance from the float outputs, and what else took part. */
  search: z
    .object({
      recipe: z.string(),
      divergence: z.number(),
      trials: quantizationSchema.shape.trials,
      wider: z.array(z.string()).describe("Layers that kept 8 bits because fewer hurt them most"),
      saturating: z.array(z.object({ node: z.string(), remedy: z.enum(["scales", "uint8"]) })),
    })
    .optional(),
  target: z.string(),
  calibrationSamples: z.number(),
  quantizedNodes: z.number(),
  /** Weight-only: what became of each matrix, and how many times smaller the matrices of products are. */
  weights: z.array(weightReportSchema).optional(),
  productRatio: z.number().optional(),
  half: halfReportSchema.optional(),
  /** Static: what became of every node. */
  coverage: coverageSchema.optional(),
  /** Static: rules of the target that the file breaks. */
  legality: z.array(z.object({ rule: z.string(), node: z.string(), value: z.string(), message: z.string() })).optional(),
  /** Nodes that stay float, each with the reason. */
  skipped: z.array(noteSchema),
  warnings: z.array(z.string()),
  seconds: z.number(),
});
export type QuantizeReport = z.infer<typeof quantizeReportSchema>;

/** Simplifies, calibrates where the method needs it, quantizes for a target, and writes the file. */
export async function quantizeFile(request: QuantizeRequest, options: RunOptions = {}): Promise<QuantizeReport> {
  const started = performance.now();
  const method = request.method ?? usualMethod(targetNamed(request.target));
  if (!quantizeMethods.includes(method))
    throw new EdgewrightError("METHOD_UNKNOWN", `There is no quantization method "${method}".`, {
      hint: `Methods: ${quantizeMethods.join(", ")}.`,
    });
  const prepared = await prepare(method, request, options);
  const { target, warnings } = prepared;
  const simplified = prepared.model.clone();
  if (method === "static") await requireScalesPerChannel(simplified);
  const { notes, weights, samples, search, replaced, half } = await runMethod(method, request, prepared, options);
  const done = notes.filter(({ kind }) => kind === "did").length;
  if (done === 0)
    throw new EdgewrightError(
      "QUANTIZE_NOTHING",
      `No node of the model can be quantized this way: ${notes[0]?.message ?? "it has no nodes"}.`,
      {
        subject: request.evaluation.model,
        hint: "Try another --method, or look at the nodes with edgewright inspect.",
      },
    );
  const model = replaced ?? prepared.model;
  if (!half?.report.comparison) await checkLoads(model, target.executor, options);
  const covered = method === "static" ? await measureCoverage(simplified, model, notes, target.quantization, options) : undefined;
  const legality =
    method === "static" ? violationsOf(model, search ? fullRange(target.quantization) : target.quantization) : undefined;
  const saved = await saveModel(model, request.output, options);
  return {
    model: { path: request.output, bytes: saved.bytes, digest: saved.digest },
    original: { path: request.evaluation.model, bytes: await fileBytes(request.evaluation.model) },
    method,
    ranges: method === "static" ? (request.ranges ?? "auto") : null,
    ...(search ? { search } : {}),
    target: target.name,
    calibrationSamples: samples,
    quantizedNodes: done,
    ...(weights
      ? { weights: weights.map(({ nodes, shape, ...one }) => ({ ...one, nodes: [...nodes], shape: [...shape] })) }
      : {}),
    productRatio: weights && productRatio(weights),
    ...(half ? { half: half.report } : {}),
    ...(covered ? { coverage: covered.coverage } : {}),
    ...(legality ? { legality } : {}),
    skipped: notes.filter(({ kind }) => kind === "skipped"),
    warnings: [
      ...warnings,
      ...(half?.warnings ?? []),
      ...(legality ?? []).slice(0, shownViolations).map(({ message }) => message),
      ...(covered?.warnings ?? []),
      ...(await growth(request, saved.bytes)),
    ],
    seconds: (performance.now() - started) / 1000,
  };
}

/** Violations that are printed; --json lists all. */
const shownViolations = 8;

/** The search keeps all 8 bits where its simulation says that no sum saturates, and gives the other layers a remedy. */
const fullRange = (row: QuantizationRow): QuantizationRow => ({ ...row, weight: { ...row.weight, reduceRange: false } });

const violationsOf = (model: Model, row: QuantizationRow): NonNullable<QuantizeReport["legality"]> =>
  checkLegality(model, row).map(({ rule, node, value, message }) => ({ rule, node: node ?? "", value: value ?? "", message }));

/** The operator set from which QuantizeLinear and DequantizeLinear take one scale per channel. */
const perChannelOpset = 13;

/** Simplifying upgrades; where a node stops that, the error says which, rather than a file with one scale for all channels. */
async function requireScalesPerChannel(simplified: Model): Promise<void> {
  if (simplified.opset < perChannelOpset) await runPass(upgradeOpset, simplified.clone(), {}, ortEvaluate);
}

async function growth(request: QuantizeRequest, bytes: number): Promise<string[]> {
  const before = await fileBytes(request.evaluation.model);
  return bytes < before ? [] : [`The file did not become smaller: ${before} bytes before, ${bytes} after.`];
}

async function applied<P>(pass: PassDef<P>, model: Model, params: Readonly<Record<string, unknown>>): Promise<readonly Note[]> {
  const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined));
  return (await runPass(pass, model, given, ortEvaluate)).notes;
}

interface Ran {
  readonly notes: readonly Note[];
  readonly samples: number;
  readonly weights?: readonly WeightReport[];
  readonly search?: QuantizeReport["search"];
  readonly half?: Pick<HalfResult, "report" | "warnings">;
  /** The result, where it is not the prepared model itself. */
  readonly replaced?: Model;
}

async function runSearch(request: QuantizeRequest, prepared: Prepared, options: RunOptions): Promise<Ran> {
  const { model, statistics, samples, calibration } = prepared;
  if (!calibration) throw new Error("internal: a static search without calibration data");
  const { exclude, search } = request;
  const result = await searchStatic(
    model,
    { ...calibration, statistics },
    { ...search, ...(exclude ? { exclude } : {}) },
    options,
  );
  const { found, saturating, notes } = result;
  return {
    notes,
    samples,
    replaced: result.model,
    search: {
      recipe: found.best.name,
      divergence: found.divergence,
      trials: [...found.trials],
      wider: [...found.wider],
      saturating: [...saturating],
    },
  };
}

async function runHalf(
  dtype: HalfType,
  { half, exclude }: QuantizeRequest,
  prepared: Prepared,
  options: RunOptions,
): Promise<Ran> {
  const { model, target, source } = prepared;
  const result = await convertToHalf(model, dtype, target, { ...half, exclude }, source, options);
  return { notes: result.notes, samples: result.samples, replaced: result.model, half: result };
}

/** Quantizes the prepared model in place. */
async function runMethod(
  method: QuantizeReport["method"],
  request: QuantizeRequest,
  prepared: Prepared,
  options: RunOptions,
): Promise<Ran> {
  const { model, target, statistics, source, samples } = prepared;
  const row = target.quantization;
  const common = { exclude: [...(request.exclude ?? [])] };
  const { convolutions, percentile, biasCorrection, ranges = "auto" } = request;
  const runs: Readonly<Record<typeof method, () => Promise<Ran>>> = {
    static: async () => {
      if (ranges === "auto") return runSearch(request, prepared, options);
      const params = { row, statistics, method: ranges, percentile, biasCorrection, ...common };
      return { notes: await applied(quantizeStatic, model, params), samples };
    },
    dynamic: async () => ({ notes: await applied(quantizeDynamic, model, { row, convolutions, ...common }), samples }),
    fp16: () => runHalf("float16", request, prepared, options),
    bf16: () => runHalf("bfloat16", request, prepared, options),
    "weight-only": () => quantizeWeights(model, row, { ...request.weights, convolutions, ...common }, source),
  };
  return runs[method]();
}

/** What a method needs: statistics of activations, calibration samples where there are any, or the model alone. */
async function prepare(method: QuantizeReport["method"], request: QuantizeRequest, options: RunOptions): Promise<Prepared> {
  if (method === "static") return calibrated(request, options);
  const { data, plugins } = request.evaluation;
  if (!takesSamples(method) || (data === undefined && plugins.length === 0)) return plain(request, options);
  const setup = await openSetup({ evaluation: request.evaluation, target: request.target }, options);
  const model = setup.model.clone();
  await runPass(simplify, model, {}, ortEvaluate);
  const limit = request.calibrationSamples ?? 100;
  const source: MomentsSource = {
    ...options,
    executor: setup.executor,
    threads: setup.threads,
    run: setup.task.run,
    expected: limit,
    samples: () => setup.samples(undefined, { ...options, limit }),
  };
  return { model, target: setup.target, statistics: new Map(), warnings: setup.warnings, samples: 0, source };
}

interface Prepared {
  readonly source?: MomentsSource;
  readonly model: Model;
  readonly target: TargetDef;
  readonly statistics: ReadonlyMap<string, ActivationStatistics>;
  readonly warnings: readonly string[];
  readonly samples: number;
  /** For a search: where more inputs come from. */
  readonly calibration?: { readonly setup: Setup; readonly samples: AsyncIterable<PreparedSample>; readonly limit: number };
}

async function plain({ evaluation, target }: QuantizeRequest, options: RunOptions): Promise<Prepared> {
  const model = await loadModel(evaluation.model, options);
  await runPass(simplify, model, {}, ortEvaluate);
  return { model, target: targetNamed(target), statistics: new Map(), warnings: [], samples: 0 };
}

async function calibrated(request: QuantizeRequest, options: RunOptions): Promise<Prepared> {
  const setup = await openSetup({ evaluation: request.evaluation, target: request.target }, options);
  const model = setup.model.clone();
  await runPass(simplify, model, {}, ortEvaluate);
  const limit = request.calibrationSamples ?? 100;
  const observations: readonly Observation[] = valuesToObserve(model, setup.target.quantization);
  // all of the data may serve calibration here: nothing is chosen or reported on it
  const statistics = await observe(model, observations, setup.samples(undefined, { ...options, limit }), {
    ...options,
    executor: setup.executor,
    threads: setup.threads,
    run: setup.task.run,
    expected: limit,
  });
  const samples = [...statistics.values()][0]?.samples ?? 0;
  const calibration = { setup, limit, samples: setup.samples(undefined, { ...options, limit }) };
  return { model, target: setup.target, statistics, warnings: setup.warnings, samples, calibration };
}
