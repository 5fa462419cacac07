import { type Model, toFloat32 } from "../../ir/index.ts";
import type { EvalConfig } from "../../measure/evaluate-config.ts";
import { atWorkingOpset } from "../../measure/working-opset.ts";
import { inferShapes } from "../../ops/infer.ts";
import { runPass } from "../../passes/manager.ts";
import type { QuantizationRow } from "../../passes/quantize/row.ts";
import { simplify } from "../../passes/simplify/index.ts";
import { ortEvaluate } from "../../runtime/evaluate.ts";
import { fileBytes, fileDigest, loadModel } from "../../runtime/model-file.ts";
import { EdgewrightError } from "../../util/errors.ts";
import type { RunOptions } from "../../util/progress.ts";
import { openSetup, type Setup } from "../setup.ts";
import { writeWhole } from "../workspace.ts";
import { adviseOn } from "./advice.ts";
import { describeNoise } from "./document.ts";
import { type Measured, type MeasureOptions, measureNoise } from "./measure.ts";
import { type Pairing, pairModels } from "./pairing.ts";
import { rescaledLike } from "./rescaled.ts";
import type { Explanation } from "./schema.ts";
import { decibels } from "./totals.ts";
import { measureTogether, measureWhatIfs, noiseOf, suspectName, suspectsOf, type WhatIf } from "./what-if.ts";

export { type Advice, type Explanation, explanationSchema } from "./schema.ts";

export interface ExplainRequest {
  /** The float model and the data. */
  readonly evaluation: EvalConfig;
  /** The quantized model, in QDQ form. */
  readonly quantized: string;
  /** Default "here". */
  readonly target?: string | undefined;
  /** Default 32. */
  readonly samples?: number | undefined;
  /** Seconds for putting parts back to float one by one; default 60, 0 leaves it out. */
  readonly whatIfSeconds?: number | undefined;
  /** Where the HTML report goes, if anywhere. */
  readonly report?: string | undefined;
}

/** Bytes of inputs and outputs that are kept for the questions at the end. */
const keptBytes = 64 * 2 ** 20;

/**
 * Compares a quantized model with the float one that it was made of, layer by layer, and says what to do next: noise accumulated and of
 * each layer alone, ranges and what they clip, weights and how many levels they use, and what the outputs gain with a part in float.
 */
export async function explain(request: ExplainRequest, options: RunOptions = {}): Promise<Explanation> {
  const started = performance.now();
  const setup = await openSetup({ evaluation: request.evaluation, target: request.target }, options);
  const quantized = await atWorkingOpset(await loadModel(request.quantized, options));
  const { pairing, reference, simplified } = await pairBest(setup, quantized, request.quantized);
  const limit = request.samples ?? 32;
  const measuring: MeasureOptions = {
    ...options,
    executor: setup.executor,
    threads: setup.threads,
    run: setup.task.run,
    expected: limit,
  };
  const measured = await measureNoise(pairing, setup.samples(undefined, { ...options, limit }), keptBytes, measuring);
  const deadline = performance.now() + 1000 * (request.whatIfSeconds ?? 60);
  const { whatIfs, together } = await askWhatIfs(pairing, measured, deadline, measuring);
  const { totals } = measured;
  const facts = {
    ...describeNoise(pairing, totals, whatIfs),
    unmatched: [...pairing.unmatched],
    sqnr: decibels(totals.output.ratio),
  };
  const explanation: Explanation = {
    schema: "edgewright/explanation@1",
    float: { path: setup.modelPath, digest: setup.digest },
    quantized: {
      path: request.quantized,
      digest: await fileDigest(request.quantized),
      bytes: await fileBytes(request.quantized),
    },
    reference,
    target: setup.target.name,
    samples: measured.samples,
    runs: totals.runs,
    outputs: [...totals.outputs].map(([name, { ratio }]) => ({ name, sqnr: decibels(ratio) })),
    advice: adviseOn({ ...facts, together, tried: whatIfs.length > 0 }),
    ...facts,
    warnings: [
      ...setup.warnings,
      ...(reference === "rescaled" ? await otherOutputs(simplified, pairing, measured, measuring) : []),
      ...missed(pairing, measured, whatIfs),
    ],
    seconds: (performance.now() - started) / 1000,
  };
  if (request.report !== undefined) {
    const { renderExplanation } = await import("./page.ts");
    await writeWhole(request.report, renderExplanation(explanation));
  }
  return explanation;
}

interface Paired {
  readonly pairing: Pairing;
  readonly reference: Explanation["reference"];
}

/**
 * What the quantized model was made of: files of our own passes of the simplified model, with channels rescaled or not, those of other
 * tools often of the model as it is. What matches best counts.
 */
async function pairBest(setup: Setup, quantized: Model, path: string): Promise<Paired & { readonly simplified: Model }> {
  const row: QuantizationRow = setup.target.quantization;
  const simplified = setup.model.clone();
  await runPass(simplify, simplified, {}, ortEvaluate);
  inferShapes(simplified);
  const tries: Paired[] = [];
  const attempt = (reference: Explanation["reference"], model: Model): boolean => {
    const pairing = pairModels(model, quantized, row);
    tries.push({ pairing, reference });
    return pairing.unmatched.length === 0 && pairing.layers.length > 0;
  };
  if (!attempt("simplified", simplified)) {
    const rescaled = rescaledLike(simplified, quantized, row);
    if (!rescaled || !attempt("rescaled", rescaled)) {
      const original = await atWorkingOpset(setup.model);
      inferShapes(original, { invalid: "warn" });
      attempt("original", original);
    }
  }
  const best = tries.reduce((kept, one) => (one.pairing.layers.length > kept.pairing.layers.length ? one : kept));
  if (best.pairing.layers.length === 0)
    throw new EdgewrightError("EXPLAIN_NOTHING", whyNothing(best.pairing), {
      subject: path,
      hint: "explain reads models with QuantizeLinear and DequantizeLinear nodes (edgewright quantize --method static), and the float model that they were made of.",
    });
  return { ...best, simplified };
}

/** dB above which two float models are one model, computed in another order. */
const sameModel = 60;

/** Channels may be rescaled through a clip only where it is lifted too; where it was not, the rescaled float model is another model. */
async function otherOutputs(simplified: Model, pairing: Pairing, { kept }: Measured, options: MeasureOptions): Promise<string[]> {
  const runs = kept.slice(0, 4);
  const noise = (await noiseOf(simplified, pairing, runs, options)).reduce((a, b) => a + b, 0);
  let signal = 0;
  for (const { outputs } of runs) for (const tensor of Object.values(outputs)) for (const x of toFloat32(tensor)) signal += x * x;
  const sqnr = decibels(noise / Math.max(signal, Number.MIN_VALUE));
  if (sqnr >= sameModel) return [];
  return [
    `Equalization has changed the quantized model beyond scales (a clip was dropped, perhaps): layers are compared with a float model whose outputs are ${sqnr.toFixed(1)} dB from the given one's.`,
  ];
}

const whyNothing = ({ unmatched }: Pairing): string =>
  unmatched.length === 0
    ? "The quantized model has no node between DequantizeLinear and QuantizeLinear nodes."
    : `None of the ${unmatched.length} integer nodes can be compared with the float model: of "${unmatched[0]?.node}", ${unmatched[0]?.reason}.`;

/** Nodes that are tried in float together. */
const mostTogether = 3;

async function askWhatIfs(pairing: Pairing, { totals, kept }: Measured, deadline: number, options: MeasureOptions) {
  const suspects = performance.now() < deadline ? suspectsOf(pairing, totals) : [];
  const whatIfs = suspects.length > 0 ? await measureWhatIfs(pairing, suspects, kept, { ...options, deadline }) : [];
  const best = whatIfs
    .filter(({ gain, error, suspect }) => suspect.kind === "weights" && gain > 2 * error && gain > 0.3)
    .slice(0, mostTogether);
  const nodes = best.map(({ suspect }) => suspectName(suspect));
  if (nodes.length < 2 || performance.now() > deadline) return { whatIfs, together: undefined };
  const gain = await measureTogether(
    pairing,
    best.map(({ suspect }) => suspect),
    kept,
    options,
  );
  return { whatIfs, together: { nodes, ...gain } };
}

function missed(pairing: Pairing, { totals, kept }: Measured, whatIfs: readonly WhatIf[]): string[] {
  const all = suspectsOf(pairing, totals).length;
  return [
    ...(whatIfs.length < all
      ? [`${whatIfs.length} of ${all} parts were tried in float, those with the most noise of their own first: time was up.`]
      : []),
    ...(kept.length < totals.runs
      ? [`Parts were tried in float on the first ${kept.length} of ${totals.runs} runs: inputs are large.`]
      : []),
  ];
}
