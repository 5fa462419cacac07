import { describe, expect, it } from "vitest";
import { encodeOnnx } from "../formats/onnx/index.ts";
import { parseModel, type Tensor, tensorOf, toFloat32 } from "../ir/index.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { seededRandom } from "../util/random.ts";
import { type CompiledTraining, compileTraining } from "./compile.ts";
import { type LossInput, lossSchema } from "./losses.ts";
import { optimizerSchema } from "./optimizers.ts";

const [batch, classes] = [5, 4];
const dense = (output: string) =>
  parseModel(`<ir_version: 10, opset_import: ["" : 21]>
shifted (float[N, 4] x) => (float[N, 4] y) <float[4] w = {0.1, -0.2, 0.3, 0.05}, float one = {1}> { z = Mul (x, one)  s = Add (z, w)  y = ${output} (s) }`);
const sequence = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
shifted (float[N, 3, 4] x) => (float[N, 3, 4] y) <float[4] w = {0.1, -0.2, 0.3, 0.05}, float one = {1}> { z = Mul (x, one)  y = Add (z, w) }`);

const uniform = seededRandom(3);
const draw = (shape: number[], low = -2, high = 2): Tensor =>
  tensorOf(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => low + (high - low) * uniform()),
  );
const x = draw([batch, classes]);
/** Dense targets that are no one-hot rows; the last row is padding. */
const soft = tensorOf(
  "float32",
  [batch, classes],
  [0.7, 0.1, 0.1, 0.1, 0, 0, 1, 0, 0, 0.5, 0.5, 0, 0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0],
);

const rows = (tensor: Tensor): number[][] => {
  const values = toFloat32(tensor);
  return Array.from({ length: tensor.size / classes }, (_, i) => Array.from(values.subarray(classes * i, classes * (i + 1))));
};
const shiftedBy = (w: readonly number[], input: Tensor): number[][] =>
  rows(input).map((row) => row.map((v, i) => v + (w[i] as number)));
const logSoftmax = (row: readonly number[]): number[] => {
  const top = Math.max(...row);
  const sum = Math.log(row.reduce((a, v) => a + Math.exp(v - top), 0)) + top;
  return row.map((v) => v - sum);
};
const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const elementwise = (f: (z: number, t: number) => number) => (z: number[][], t: number[][]) =>
  average(z.flatMap((row, i) => row.map((v, j) => f(v, t[i]?.[j] as number))));
const crossEntropy = (z: number[][], t: number[][]) =>
  average(z.map((row, i) => -logSoftmax(row).reduce((a, lp, j) => a + lp * (t[i]?.[j] as number), 0)));

interface Case {
  readonly loss: LossInput;
  readonly output?: string;
  /** In double precision, from logits and targets. */
  readonly reference: (z: number[][], t: number[][]) => number;
}
const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));
const binary = (w: number) => elementwise((z, t) => -(w * t * Math.log(sigmoid(z)) + (1 - t) * Math.log(1 - sigmoid(z))));
const cases: Readonly<Record<string, Case>> = {
  "cross-entropy": { loss: { name: "softmax-cross-entropy" }, reference: crossEntropy },
  "cross-entropy behind the model's own softmax": {
    loss: { name: "softmax-cross-entropy" },
    output: "Softmax",
    reference: crossEntropy,
  },
  "label smoothing": {
    loss: { name: "softmax-cross-entropy", labelSmoothing: 0.1 },
    reference: (z, t) =>
      crossEntropy(
        z,
        t.map((row) => row.map((v) => 0.9 * v + (0.1 / classes) * row.reduce((a, b) => a + b, 0))),
      ),
  },
  "binary cross-entropy": { loss: { name: "binary-cross-entropy" }, reference: binary(1) },
  "binary cross-entropy behind a sigmoid": { loss: { name: "binary-cross-entropy" }, output: "Sigmoid", reference: binary(1) },
  "binary cross-entropy with heavier positives": {
    loss: { name: "binary-cross-entropy", positiveWeight: 3 },
    reference: binary(3),
  },
  focal: {
    loss: { name: "focal", gamma: 2 },
    reference: (z, t) =>
      average(
        z.map((row, i) => -logSoftmax(row).reduce((a, lp, j) => a + (t[i]?.[j] as number) * (1 - Math.exp(lp)) ** 2 * lp, 0)),
      ),
  },
  mse: { loss: { name: "mse" }, reference: elementwise((z, t) => (z - t) ** 2) },
  l1: { loss: { name: "l1" }, reference: elementwise((z, t) => Math.abs(z - t)) },
  huber: {
    loss: { name: "huber", delta: 0.7 },
    reference: elementwise((z, t) => (Math.abs(z - t) < 0.7 ? 0.5 * (z - t) ** 2 : 0.7 * (Math.abs(z - t) - 0.35))),
  },
  distillation: {
    loss: { name: "distillation", temperature: 3, target: "target" },
    reference: (z, t) =>
      9 *
      average(
        z.map((row, i) => {
          const teacher = logSoftmax((t[i] as number[]).map((v) => v / 3));
          const student = logSoftmax(row.map((v) => v / 3));
          return teacher.reduce((a, lp, j) => a + Math.exp(lp) * (lp - (student[j] as number)), 0);
        }),
      ),
  },
};

/** Loss and dLoss/dw from the gradient program. */
async function evaluate(
  compiled: CompiledTraining,
  feeds: Record<string, Tensor>,
): Promise<{ loss: number; gradient: Float32Array }> {
  const program = compiled.gradient();
  const session = await ortNode.load(encodeOnnx(program.model));
  const states = compiled.initialStates();
  const given = Object.fromEntries(Object.entries(program.stateInputs).map(([input, state]) => [input, states[state] as Tensor]));
  const scalars = Object.fromEntries(
    Object.entries(program.hyperparameters).map(([name, v]) => [name, tensorOf("float32", [], [v])]),
  );
  const outputs = await session.run({ ...feeds, ...given, ...scalars });
  await session.release();
  return { loss: toFloat32(outputs.loss as Tensor)[0] as number, gradient: toFloat32(outputs["next:gradients"] as Tensor) };
}

const weights = [0.1, -0.2, 0.3, 0.05].map(Math.fround);

/** Central differences of a double-precision reference. */
const numericGradient = (f: (w: readonly number[]) => number): number[] =>
  weights.map((_, i) => {
    const moved = (by: number): number => f(weights.map((w, j) => (i === j ? w + by : w)));
    return (moved(1e-5) - moved(-1e-5)) / 2e-5;
  });

function expectClose(found: ArrayLike<number>, expected: readonly number[]): void {
  // float32 sums of twenty terms near one
  expected.forEach((value, i) => {
    expect(found[i]).toBeCloseTo(value, 5);
  });
}

describe("losses against double-precision references", () => {
  it.each(Object.entries(cases))("%s", async (_, { loss, output = "Identity", reference }) => {
    const compiled = compileTraining(dense(output), {
      batch,
      losses: [lossSchema.parse(loss)],
      optimizer: optimizerSchema.parse({ name: "sgd" }),
    });
    const found = await evaluate(compiled, { x, target: soft });
    const at = (w: readonly number[]): number => reference(shiftedBy(w, x), rows(soft));
    expect(found.loss).toBeCloseTo(at(weights), 5);
    expectClose(found.gradient, numericGradient(at));
  });

  it("sequence cross-entropy leaves padding out", async () => {
    const input = draw([2, 3, classes]);
    const ids = [1, 3, 0, 2, 0, 0];
    const weight = [1, 1, 0, 1, 0, 0];
    const compiled = compileTraining(sequence, {
      batch: 2,
      losses: [lossSchema.parse({ name: "sequence-cross-entropy" })],
      optimizer: optimizerSchema.parse({ name: "sgd" }),
    });
    const found = await evaluate(compiled, {
      x: input,
      target: tensorOf("int64", [2, 3], ids),
      target_weight: tensorOf("float32", [2, 3], weight),
    });
    const at = (w: readonly number[]): number =>
      shiftedBy(w, input).reduce((a, row, i) => a - (weight[i] as number) * (logSoftmax(row)[ids[i] as number] as number), 0) / 3;
    expect(found.loss).toBeCloseTo(at(weights), 5);
    expectClose(found.gradient, numericGradient(at));
  });

  it("several losses are summed with their weights, which are inputs", async () => {
    const compiled = compileTraining(dense("Identity"), {
      batch,
      losses: [lossSchema.parse({ name: "mse", weight: 2 }), lossSchema.parse({ name: "l1", weight: 0.5 })],
      optimizer: optimizerSchema.parse({ name: "sgd" }),
    });
    const found = await evaluate(compiled, { x, target: soft });
    const [mse, l1] = [cases.mse as Case, cases.l1 as Case];
    const z = shiftedBy(weights, x);
    expect(found.loss).toBeCloseTo(2 * mse.reference(z, rows(soft)) + 0.5 * l1.reference(z, rows(soft)), 5);
    expect(Object.keys(compiled.step.hyperparameters)).toEqual(
      expect.arrayContaining(["weight:mse::target", "weight:l1::target"]),
    );
  });
});
