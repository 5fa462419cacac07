/**
 * Accuracy after training: Fashion-MNIST in float and integers, 3-bit weights, CIFAR-10 with 4-bit weights.
 *
 *   EDGEWRIGHT_DATA=… npx tsx bench/train/accuracy.ts
 *
 * Writes bench/train/accuracy.json and accuracy.md; takes about five minutes on two cores.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { evaluationBatches } from "../../src/data/train/index.ts";
import { encodeOnnx, readSafetensors } from "../../src/formats/index.ts";
import { type Model, type Tensor, tensorOf, toFloat32 } from "../../src/ir/index.ts";
import { runPass } from "../../src/passes/manager.ts";
import { quantizeStatic, valuesToObserve } from "../../src/passes/quantize/static.ts";
import { observe } from "../../src/recipes/observe.ts";
import { parseTrainConfig, type TrainConfigInput } from "../../src/recipes/train/config.ts";
import { setUpTraining } from "../../src/recipes/train/open.ts";
import { runTrainRequest, type TrainOutcome } from "../../src/recipes/train/run.ts";
import { argMax, validateModel } from "../../src/recipes/train/validate.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { trainingSession } from "../../src/runtime/executor.ts";
import { loadModel } from "../../src/runtime/model-file.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { localRuntime } from "../../src/runtime/stateful-local.ts";
import { ortX64 } from "../../src/targets/onnxruntime/targets.ts";
import { prepareForTraining } from "../../src/train/prepare.ts";
import { cifar, fashion, removeFolders } from "./tasks.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "edgewright-accuracy-"));
let runs = 0;

interface Run {
  readonly outcome: TrainOutcome;
  readonly accuracy: number;
  readonly folder: string;
}

async function trained(input: TrainConfigInput): Promise<Run> {
  const folder = join(work, `run${runs++}`);
  const outcome = await runTrainRequest({ config: parseTrainConfig(input, here), out: folder });
  return { outcome, accuracy: outcome.validation?.value ?? Number.NaN, folder };
}

const rowsOf = (tensor: Tensor, count: number): Float32Array[] => {
  const size = tensor.size / (tensor.shape[0] as number);
  return Array.from({ length: count }, (_, i) => toFloat32(tensor).subarray(i * size, (i + 1) * size));
};

/** Share of validation samples that the fake-quantized graph and the exported model class alike, in percent. */
async function equalPredictions({ outcome, folder }: Run, input: TrainConfigInput): Promise<number> {
  const setup = await setUpTraining(parseTrainConfig(input, here), {});
  const { tensors } = readSafetensors(new Uint8Array(readFileSync(join(folder, "last.safetensors"))));
  const runtime = localRuntime(ortNode);
  await runtime.write(tensors);
  const program = outcome.compiled.evaluate();
  const fake = await runtime.load({ ...program, bytes: encodeOnnx(program.model) }, trainingSession(1));
  const exported = await ortNode.load(join(folder, "model.onnx"));
  const scalars = Object.fromEntries(
    Object.entries(program.hyperparameters).map(([name, v]) => [name, tensorOf("float32", [], [v])]),
  );
  const output = exported.outputNames[0] as string;
  let [equal, total] = [0, 0];
  if (!setup.validation) throw new Error("there are no validation samples");
  for await (const batch of evaluationBatches(setup.validation, { batch: setup.config.batch, targets: setup.task.targets })) {
    const a = await fake.run({ ...batch.feeds, ...batch.targets, ...scalars }, [output]);
    const b = await exported.run(batch.feeds, [output]);
    const [mine, theirs] = [rowsOf(a[output] as Tensor, batch.count), rowsOf(b[output] as Tensor, batch.count)];
    equal += mine.filter((row, i) => argMax(row) === argMax(theirs[i] as Float32Array)).length;
    total += batch.count;
  }
  await runtime.close();
  await exported.release();
  return (100 * equal) / total;
}

/** Quantized after training, without any: min-max ranges from 256 training samples. */
async function afterTraining(path: string, input: TrainConfigInput, weightBits: number): Promise<number> {
  const setup = await setUpTraining(parseTrainConfig({ ...input, model: path }, here), {});
  const model: Model = await prepareForTraining(await loadModel(path), { batchNormalization: "fold", evaluate: ortEvaluate });
  const row = ortX64.quantization;
  const samples = async function* () {
    for (let i = 0; i < 256; i++) yield await setup.training.sample(Math.floor((i * setup.training.length) / 256));
  };
  if (!row || !setup.validation || !setup.task.judgement) throw new Error("nothing to quantize for");
  const statistics = await observe(model, valuesToObserve(model, row), samples(), { executor: ortNode });
  await runPass(quantizeStatic, model, { row, statistics, weightBits }, ortEvaluate);
  const options = { executor: ortNode, threads: 1, batch: 64, targets: setup.task.targets };
  return (await validateModel(model, setup.validation, setup.task.judgement, options)).value;
}

async function measure() {
  const float = await trained(fashion());
  const from = join(float.folder, "model.onnx");
  const tune = {
    model: from,
    average: undefined, // the exported weights are then those of the training graph
    epochs: 1,
    batch: 128,
    optimizer: { name: "sgd", momentum: 0.9, learningRate: 0.005 },
    schedule: { name: "cosine" },
  } as const;
  const int8Config = fashion({ ...tune, quantize: {} });
  const int8 = await trained(int8Config);
  const int8Ptq = await afterTraining(from, fashion(), 8);
  const threeConfig = fashion({
    ...tune,
    epochs: 3,
    optimizer: { ...tune.optimizer, learningRate: 0.01 },
    quantize: { weightBits: 3, weightScale: "learned" },
  });
  const three = await trained(threeConfig);
  const threePtq = await afterTraining(from, fashion(), 3);
  const equal8 = await equalPredictions(int8, int8Config);
  const equal3 = await equalPredictions(three, threeConfig);
  const teacher = cifar().model as string;
  const w4Config = cifar({
    quantize: { weightBits: 4, weightScale: "learned" },
    teacher: { model: teacher, temperature: 2, weight: 0.9 },
  });
  const w4 = await trained(w4Config);
  const setup = await setUpTraining(parseTrainConfig(cifar(), here), {});
  const options = { executor: ortNode, threads: 1, batch: 50, targets: setup.task.targets };
  const cifarFloat = (
    await validateModel(setup.prepared, setup.validation as NonNullable<typeof setup.validation>, "accuracy", options)
  ).value;
  return {
    float: float.accuracy,
    seconds: float.outcome.wallSeconds,
    int8: int8.accuracy,
    int8Ptq,
    equal8,
    three: three.accuracy,
    threePtq,
    equal3,
    regained: (100 * (three.accuracy - threePtq)) / (float.accuracy - threePtq),
    cifarFloat,
    cifarW4: w4.accuracy,
  };
}

const found = await measure();
const device = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}, onnxruntime ${ortNode.version}`;
writeFileSync(resolve(here, "accuracy.json"), `${JSON.stringify({ device, ...found }, null, 2)}\n`);
const p = (value: number): string => `${value.toFixed(2)} %`;
writeFileSync(
  resolve(here, "accuracy.md"),
  `# Accuracy after training

Top-1 of the exported model in onnxruntime, seed 0, one thread. ${device}. Made by \`bench/train/accuracy.ts\`.

| Fashion-MNIST, CNN of 54,778 parameters, first 5,000 test pictures | top-1 |
|---|---|
| float, 3 epochs (${Math.round(found.seconds)} s) | ${p(found.float)} |
| INT8 after training | ${p(found.int8Ptq)} |
| INT8, one epoch of quantization-aware training | ${p(found.int8)} |
| — equal predictions of fake-quantized graph and exported model | ${p(found.equal8)} |
| 3-bit weights, INT8 activations, after training | ${p(found.threePtq)} |
| the same, three epochs of quantization-aware training | ${p(found.three)} |
| — equal predictions | ${p(found.equal3)} |
| — share of the loss that is gained back | ${p(found.regained)} |

| CIFAR-10, ResNet-20 from the given model, test_2000 | top-1 |
|---|---|
| float, as given | ${p(found.cifarFloat)} |
| W4A8, two epochs on train_5000, the float model as teacher | ${p(found.cifarW4)} |
`,
);
removeFolders();
rmSync(work, { recursive: true, force: true });
process.stdout.write(readFileSync(resolve(here, "accuracy.md"), "utf8"));
