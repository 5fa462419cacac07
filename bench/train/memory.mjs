/**
 * Memory of a training step: MobileNetV2 1.0, 96x96, batch 16, SGD with momentum, in a process of its own with the built library and the
 * runtime that `train` uses.
 *
 *   npm run build && node bench/train/memory.mjs
 *
 * Writes bench/train/memory.json: the peak of the process's resident memory over 40 steps, and its size after every ten.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { encodeOnnx } from "edgewright/formats";
import { tensorOf } from "edgewright/ir";
import { trainingSession, workerRuntime } from "edgewright/runtime";
import { compileTraining, lossSchema, optimizerSchema, prepareForTraining } from "edgewright/train";
import { buildModel } from "edgewright/zoo";

const status = (field) =>
  Math.round(Number(new RegExp(`^${field}:\\s*(\\d+) kB$`, "m").exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1024);
const atStart = status("VmRSS");
const model = buildModel("mobilenet-v2", { classes: 100, resolution: 96 });
// nothing in this model needs a runtime to be folded
const prepared = await prepareForTraining(model, { batchNormalization: "train", evaluate: async () => ({}) });
const compiled = compileTraining(prepared, {
  batch: 16,
  losses: [lossSchema.parse({ name: "softmax-cross-entropy" })],
  optimizer: optimizerSchema.parse({ name: "sgd", momentum: 0.9 }),
});
const runtime = await workerRuntime();
const { gradients: _, ...states } = compiled.initialStates();
await runtime.write(states);
const { step } = compiled;
const loaded = await runtime.load({ ...step, bytes: encodeOnnx(step.model) }, trainingSession(1));

function feeds() {
  const data = step.dataInputs.map(({ name, dtype, shape }) => {
    const values = new Float32Array(shape.reduce((a, d) => a * d, 1));
    for (let i = 0; i < values.length; i++) values[i] = name === "target" ? Number(i % 101 === 0) : Math.sin(i);
    return [name, tensorOf(dtype, shape, values)];
  });
  const scalars = Object.keys(step.hyperparameters).map((name) => [
    name,
    tensorOf("float32", [], [name === "learning_rate" ? 0.01 : 1]),
  ]);
  return Object.fromEntries([...data, ...scalars]);
}

const before = status("VmRSS");
const afterEveryTenSteps = [];
for (let i = 1; i <= 40; i++) {
  await loaded.run(feeds());
  if (i % 10 === 0) afterEveryTenSteps.push(status("VmRSS"));
}
await runtime.close();
const result = {
  device: `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}, onnxruntime ${runtime.version}`,
  what: "MobileNetV2 1.0, 96x96, batch 16, forward, backward and SGD with momentum, 1 thread; resident memory in MiB",
  atStart,
  beforeTheFirstStep: before,
  afterEveryTenSteps,
  peak: status("VmHWM"),
};
const text = `${JSON.stringify(result, null, 2)}\n`;
writeFileSync(new URL("memory.json", import.meta.url), text);
process.stdout.write(text);
