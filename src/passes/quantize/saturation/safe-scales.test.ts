import { describe, expect, test } from "vitest";
import { row } from "../../../../test/suites/quantize.ts";
import { float32Tensor, parseModel, type Tensor, typedArray } from "../../../ir/index.ts";
import { seededNormal, seededRandom } from "../../../util/random.ts";
import { quantizeWeight, weightScales } from "../parameters.ts";
import { convolutionForm } from "./convolution-form.ts";
import { matrixForm } from "./matrix-form.ts";
import { canSaturate, packWeights } from "./packed-weights.ts";
import type { ProductForm } from "./product-form.ts";
import { scalesWithoutSaturation, weightsWithoutSaturation } from "./safe-scales.ts";
import { weightsAround128 } from "./wide-weights.ts";

const normal = seededNormal(seededRandom(7));
const randomWeight = (shape: readonly number[]): Tensor =>
  float32Tensor(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()),
  );

/** Integers that 8-bit rounding gives, packed as the kernel reads them. */
function packed(form: ProductForm, weight: Tensor, scales: Float32Array, axis: number | undefined) {
  const { tensor } = quantizeWeight(weight, scales, axis, false);
  return packWeights(form, typedArray(tensor) as Int8Array);
}

const kinds: readonly [string, readonly number[], number | undefined, (shape: readonly number[]) => ProductForm][] = [
  ["1x1 convolution", [24, 16, 1, 1], 0, (shape) => convolutionForm({}, shape)],
  ["3x3 convolution of three channels", [24, 3, 3, 3], 0, (shape) => convolutionForm({}, shape)],
  ["grouped convolution", [24, 5, 3, 3], 0, (shape) => convolutionForm({ group: 4 }, shape)],
  ["matrix, one scale for all", [25, 12], undefined, (shape) => matrixForm(shape, false) as ProductForm],
  ["matrix, a scale for each column", [24, 12], 1, (shape) => matrixForm(shape, false) as ProductForm],
];

describe("scales that cannot saturate", () => {
  test.each(kinds)("%s: no pair can saturate any more, at no more than a 7-bit weight's step", (_, shape, axis, formOf) => {
    const weight = randomWeight(shape);
    const form = formOf(shape);
    const plain = weightScales(weight, axis, false);
    expect(packed(form, weight, plain, axis).risky.length).toBeGreaterThan(0);
    const safe = scalesWithoutSaturation(form, weight, plain);
    expect(packed(form, weight, safe, axis).risky).toHaveLength(0);
    const sevenBits = weightScales(weight, axis, true);
    safe.forEach((scale, c) => {
      expect(scale).toBeGreaterThanOrEqual(plain[c] as number);
      expect(scale).toBeLessThanOrEqual((sevenBits[c] as number) * (1 + 1e-6));
    });
    const mean = (values: Float32Array): number => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(safe)).toBeLessThan(0.85 * mean(sevenBits));
  });

  test("neighbours of different sign leave the scale alone", () => {
    const weight = float32Tensor([2, 1], [1, -1]);
    const scales = weightScales(weight, 1, false);
    expect(scalesWithoutSaturation(matrixForm([2, 1], false) as ProductForm, weight, scales)).toEqual(scales);
  });

  test("a pair saturates from 129 steps on", () => {
    expect(canSaturate(64, 64)).toBe(false);
    expect(canSaturate(65, 64)).toBe(true);
    expect(canSaturate(-64, -64)).toBe(false);
    expect(canSaturate(-65, -64)).toBe(true);
    expect(canSaturate(127, -128)).toBe(false);
  });
});

describe("weights of a model that cannot saturate", () => {
  const model = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
g (float[1,2,4,4] x) => (float[1,2,4,4] y)
<float[2,2,1,1] w = {1, 1, 1, -1}, float[2,1,1,1] d = {1, 1}, float[2,2,1,1] v = {1, 0.5, 1, 0}>
{ [first] a = Conv (x, w) [deep] b = Conv <group = 2> (a, d) [last] y = Conv (b, v) }`);
  const scales = (name: string, options = {}) => [...(weightsWithoutSaturation(model, row, options).get(name)?.scales ?? [])];

  test("each layer's scales grow as its neighbours need; depthwise layers are left alone", () => {
    expect(scales("w")).toEqual([2 / 127, 1 / 127].map(Math.fround));
    expect(scales("v")).toEqual([1.5 / 127, 1 / 127].map(Math.fround));
    expect(scales("d")).toEqual([]);
  });

  test("only the nodes that were named", () => {
    expect([...weightsWithoutSaturation(model, row, { nodes: new Set(["last"]) }).keys()]).toEqual(["v"]);
  });

  test("what was chosen before holds where it is safe", () => {
    const integers = Int8Array.of(64, 64, 127, -127);
    const safe = { scales: Float32Array.of(1, 1), integers };
    const risky = { scales: Float32Array.of(1 / 100, 1 / 100), integers: Int8Array.of(100, 100, 100, -100) };
    const kept = weightsWithoutSaturation(model, row, { choices: new Map([["w", safe]]) });
    expect(kept.get("w")).toBe(safe);
    const changed = weightsWithoutSaturation(model, row, {
      choices: new Map([
        ["w", risky],
        ["d", safe],
      ]),
    });
    expect(changed.get("w")?.integers).toBeUndefined();
    expect([...(changed.get("w")?.scales ?? [])]).toEqual([2 / 127, 1 / 100].map(Math.fround));
    expect(changed.get("d")).toBe(safe);
  });

  test("as uint8, what was chosen before holds, where the row's kernels take it", () => {
    const bits = { bits: 6 };
    const options = { nodes: new Set(["last", "first"]), choices: new Map([["v", bits]]) };
    expect([...weightsAround128(model, row, options)]).toEqual([
      ["v", { bits: 6, dtype: "uint8" }],
      ["w", { dtype: "uint8" }],
    ]);
    const { wideDtype: _, ...weight } = row.weight;
    expect([...weightsAround128(model, { ...row, weight }, options)]).toEqual([["v", bits]]);
    const ops = { ...row.ops, Conv: { ...row.ops.Conv, role: "anchor" as const, weightDtype: "int8" as const } };
    expect([...weightsAround128(model, { ...row, ops }, options)]).toEqual([["v", bits]]);
  });
});
