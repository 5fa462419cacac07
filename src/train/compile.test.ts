import { expect, it } from "vitest";
import { encodeOnnx } from "../formats/onnx/index.ts";
import { parseModel, type Tensor, tensorOf, toFloat32, verify } from "../ir/index.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { seededRandom } from "../util/random.ts";
import { type CompiledTraining, compileTraining } from "./compile.ts";
import { exportTrained } from "./export.ts";
import type { CompileOptions } from "./forward.ts";
import { lossSchema } from "./losses.ts";
import { type Optimizer, optimizerSchema, stepScalars } from "./optimizers.ts";
import type { TrainingProgram } from "./program.ts";

const model = parseModel(`
<ir_version: 10, opset_import: ["" : 21]>
mlp (float[N, 3] x) => (float[N, 2] y)
<float[3, 8] w1 = {0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.6, -0.1, 0.2, 0.4, -0.3, 0.5, 0.1, -0.6, 0.3, 0.2, -0.5, 0.1, 0.2, -0.2, 0.4, 0.3, -0.1, 0.6}, float[8] b1 = {0, 0, 0, 0, 0, 0, 0, 0},
 float[8, 2] w2 = {0.1, -0.3, 0.4, 0.2, -0.2, 0.5, 0.3, 0.1, 0.2, -0.4, -0.1, 0.3, 0.5, 0.2, -0.3, 0.1}, float[2] b2 = {0, 0}>
{
  h = Gemm (x, w1, b1)
  r = Relu (h)
  y = Gemm (r, w2, b2)
}`);

const options = (optimizer: Optimizer, more: Partial<CompileOptions> = {}): CompileOptions => ({
  batch: 16,
  losses: [lossSchema.parse({ name: "softmax-cross-entropy" })],
  optimizer,
  ...more,
});

/** Points labelled by the sign of a product: not linearly separable. */
function batch(seed: number): Record<string, Tensor> {
  const uniform = seededRandom(seed);
  const x = Float32Array.from({ length: 48 }, () => 2 * uniform() - 1);
  const target = new Float32Array(32);
  for (let i = 0; i < 16; i++) target[2 * i + Number((x[3 * i] as number) * (x[3 * i + 1] as number) > 0)] = 1;
  return { x: tensorOf("float32", [16, 3], x), target: tensorOf("float32", [16, 2], target) };
}

const scalars = (values: Readonly<Record<string, number>>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, tensorOf("float32", [], [value])]));

/** Runs a program with states kept by hand; returns its other outputs. */
async function run(
  program: TrainingProgram,
  states: Record<string, Tensor>,
  feeds: Record<string, Tensor>,
  hyperparameters: Readonly<Record<string, number>> = {},
): Promise<Readonly<Record<string, Tensor>>> {
  const session = await ortNode.load(encodeOnnx(program.model), { optimization: "extended" });
  const data = Object.fromEntries(program.dataInputs.map(({ name }) => [name, feeds[name] as Tensor]));
  const given = Object.fromEntries(Object.entries(program.stateInputs).map(([input, state]) => [input, states[state] as Tensor]));
  const outputs = await session.run({ ...data, ...scalars({ ...program.hyperparameters, ...hyperparameters }), ...given });
  await session.release();
  for (const [output, state] of Object.entries(program.stateOutputs)) states[state] = outputs[output] as Tensor;
  return outputs;
}

const scalar = (tensor: Tensor | undefined): number => toFloat32(tensor as Tensor)[0] as number;

async function losses(compiled: CompiledTraining, optimizer: Optimizer, learningRate: number, steps = 60): Promise<number[]> {
  const states = compiled.initialStates();
  const found: number[] = [];
  for (let step = 1; step <= steps; step++) {
    const hyper = { learning_rate: learningRate, ...stepScalars(optimizer, step) };
    found.push(scalar((await run(compiled.step, states, batch(step % 4), hyper)).loss));
  }
  return found;
}

it.each([
  ["sgd", { momentum: 0 }, 0.5],
  ["sgd", { momentum: 0.9, nesterov: true }, 0.1],
  ["sgd", { momentum: 0.9, weightDecay: 1e-4 }, 0.1],
  ["adam", {}, 0.02],
  ["adamw", {}, 0.02],
  ["lion", { weightDecay: 0.1 }, 0.02],
] as const)("learns with %s %o", async (name, settings, learningRate) => {
  const optimizer = optimizerSchema.parse({ name, ...settings });
  const compiled = compileTraining(model, options(optimizer, { clipNorm: 5, average: true, masks: true }));
  verify(compiled.step.model);
  const found = await losses(compiled, optimizer, learningRate);
  expect(found.at(-1)).toBeLessThan(0.75 * (found[0] as number));
});

it("the gradient and update programs together make the step", async () => {
  const optimizer = optimizerSchema.parse({ name: "adam", weightDecay: 0.01 });
  const compiled = compileTraining(model, options(optimizer));
  const hyper = { learning_rate: 0.01, ...stepScalars(optimizer, 1) };
  const whole = compiled.initialStates();
  const parts = compiled.initialStates();
  await run(compiled.step, whole, batch(1), hyper);
  await run(compiled.gradient(), parts, batch(1));
  await run(compiled.update(), parts, {}, hyper);
  expect(toFloat32(parts.parameters as Tensor)).toEqual(toFloat32(whole.parameters as Tensor));
  expect(Math.max(...toFloat32(parts.gradients as Tensor).map(Math.abs))).toBe(0);
});

it("writes trained weights back under their names", async () => {
  const optimizer = optimizerSchema.parse({ name: "sgd" });
  const compiled = compileTraining(model, options(optimizer));
  const states = compiled.initialStates();
  await run(compiled.step, states, batch(1), { learning_rate: 0.1 });
  const trained = exportTrained(model, compiled, states);
  const session = await ortNode.load(encodeOnnx(trained));
  const { x } = batch(2);
  const direct = await session.run({ x: x as Tensor });
  const evaluated = await run(compiled.evaluate(), states, batch(2));
  // the same weights through two graphs: only the order of float32 sums may differ
  toFloat32(direct.y as Tensor).forEach((y, i) => {
    expect(y).toBeCloseTo(toFloat32(evaluated.y as Tensor)[i] as number, 5);
  });
  await session.release();
});

it("freezes what it is told to", () => {
  const optimizer = optimizerSchema.parse({ name: "sgd" });
  const compiled = compileTraining(model, options(optimizer, { frozen: ["*1"] }));
  expect(compiled.parameters.map(({ name }) => name)).toEqual(["w2", "b2"]);
  expect(() => compileTraining(model, options(optimizer, { frozen: ["conv*"] }))).toThrow(/no float32 initializer.*conv/i);
  expect(() => compileTraining(model, options(optimizer, { frozen: ["*"] }))).toThrow(/no float32 weights left/);
});
