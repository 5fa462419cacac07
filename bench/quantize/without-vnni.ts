/**
 * What statically quantized models lose on x86-64 without VNNI, and what weights that cannot saturate give back:
 *
 *   EDGEWRIGHT_DATA=/path/to/data npx tsx bench/quantize/without-vnni.ts [name ...]
 *
 * "Without VNNI" is simulated, bit by bit as onnxruntime computes (conformance/saturation); results go to without-vnni.json and .md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { encodeOnnx } from "../../src/formats/index.ts";
import type { Model, PreparedSample } from "../../src/ir/index.ts";
import { type AccuracyResult, collectReference, evaluateAccuracy } from "../../src/measure/accuracy.ts";
import { runPass } from "../../src/passes/manager.ts";
import { weightsWithoutSaturation } from "../../src/passes/quantize/saturation/safe-scales.ts";
import { quantizeStatic, type StaticParams, valuesToObserve } from "../../src/passes/quantize/static.ts";
import { simplify } from "../../src/passes/simplify/index.ts";
import { circumstances } from "../../src/recipes/measure-candidate.ts";
import { observe } from "../../src/recipes/observe.ts";
import { loadWithoutVnni, saturatingNodes } from "../../src/recipes/saturation.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import type { Session } from "../../src/runtime/executor.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { ortX64 } from "../../src/targets/onnxruntime/targets.ts";
import { draws, ptqModels } from "./ptq-draws.ts";

const row = ortX64.quantization;
/** Fewer samples where one takes many seconds. */
const limits: Readonly<Record<string, number>> = { "super-resolution": 4, yolox: 40 };

interface Figures {
  readonly value: number;
  /** Outputs against FP32's, dB; null where the outputs are no plain tensors. */
  readonly sqnr: number | null;
}
interface Result {
  readonly name: string;
  readonly metric: string;
  readonly samples: number;
  readonly float: number;
  readonly layers: number;
  /** Layers that saturate noticeably. */
  readonly changed: number;
  /** With VNNI; without; without and weights of 7 bits; without and safe scales where it matters, and everywhere. */
  readonly vnni: Figures;
  readonly saturated: Figures;
  readonly sevenBits: Figures;
  readonly chosen: Figures;
  readonly safe: Figures;
}

async function* from(samples: readonly PreparedSample[]): AsyncGenerator<PreparedSample> {
  yield* samples;
}

const figuresOf = ({ scores }: AccuracyResult): Figures => ({
  value: scores[0]?.value as number,
  sqnr: scores.find(({ metric }) => metric === "sqnr")?.value ?? null,
});

async function measured<T>(session: Session, measure: (session: Session) => Promise<T>): Promise<T> {
  try {
    return await measure(session);
  } finally {
    await session.release();
  }
}

async function measureModel(name: string): Promise<Result> {
  const { setup, evaluation: all, calibration } = await draws(name, 1);
  const evaluation = all.slice(0, limits[name]);
  const [draw = []] = calibration;
  const { run } = setup.task;
  const model = setup.model.clone();
  await runPass(simplify, model, {}, ortEvaluate);
  const statistics = await observe(model, valuesToObserve(model, row), from(draw), { executor: ortNode, run });
  const common = { ...circumstances(setup, setup.digest), task: setup.task };
  const input = (session: Session) => ({ ...common, session, samples: from(evaluation) });
  const float = await measured(await ortNode.load(encodeOnnx(model)), (session) => collectReference(input(session)));
  const quantized = async (params: Partial<StaticParams> = {}): Promise<Model> => {
    const copy = model.clone();
    await runPass(quantizeStatic, copy, { row, statistics, method: "mse", ...params }, ortEvaluate);
    return copy;
  };
  const evaluate = async (session: Session): Promise<Figures> =>
    measured(session, async () => figuresOf(await evaluateAccuracy({ ...input(session), reference: float.reference })));
  const without = async (copy: Model): Promise<Figures> => evaluate(await loadWithoutVnni(copy, { executor: ortNode }));
  const plain = await quantized();
  const nodes = await saturatingNodes(plain, draw.slice(0, 12), { executor: ortNode, run });
  const safe = weightsWithoutSaturation(model, row);
  const chosen = weightsWithoutSaturation(model, row, { nodes: new Set(nodes.map(({ node }) => node)) });
  return {
    name,
    metric: float.scores[0]?.metric as string,
    samples: evaluation.length,
    float: float.scores[0]?.value as number,
    layers: safe.size,
    changed: nodes.length,
    vnni: await evaluate(await ortNode.load(encodeOnnx(plain))),
    saturated: await without(plain),
    sevenBits: await without(await quantized({ weightBits: 7 })),
    chosen: await without(await quantized({ weights: chosen })),
    safe: await without(await quantized({ weights: safe })),
  };
}

const cell = ({ value, sqnr }: Figures): string => `${value.toFixed(2)}${sqnr === null ? "" : ` (${sqnr.toFixed(1)})`}`;

const page = (results: readonly Result[]): string => `# Static quantization without VNNI

Written by \`npx tsx bench/quantize/without-vnni.ts\`. uint8 activations, ranges of least error, calibrated on samples that are not
evaluated; the model's main metric, in brackets the signal-to-noise ratio of its outputs against FP32, dB. Without VNNI, x86-64 adds two
products in 16 bits, which saturates: simulated, bit by bit as onnxruntime 1.30 computes (conformance/saturation). *Chosen*: scales that
cannot saturate for the layers whose noise passes 1e-3 on 12 calibration samples; *safe*: for every layer.

| model | metric | n | FP32 | 8 bits, VNNI | 8 bits | 7 bits | chosen | layers chosen | safe |
|---|---|---|---|---|---|---|---|---|---|
${results
  .map((r) =>
    [r.name, r.metric, r.samples, r.float.toFixed(2), cell(r.vnni), cell(r.saturated), cell(r.sevenBits), cell(r.chosen)]
      .concat([`${r.changed} of ${r.layers}`, cell(r.safe)])
      .join(" | "),
  )
  .map((line) => `| ${line} |`)
  .join("\n")}
`;

const file = (extension: string): string => fileURLToPath(new URL(`without-vnni.${extension}`, import.meta.url));
const asked = process.argv.slice(2);
const results = new Map<string, Result>();
try {
  for (const result of JSON.parse(readFileSync(file("json"), "utf8")) as Result[]) results.set(result.name, result);
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
for (const name of asked.length > 0 ? asked : ptqModels) {
  results.set(name, await measureModel(name));
  const sorted = ptqModels.flatMap((known) => results.get(known) ?? []);
  writeFileSync(file("json"), `${JSON.stringify(sorted, null, 2)}\n`);
  writeFileSync(file("md"), page(sorted));
  console.log(name, JSON.stringify(results.get(name)));
}
