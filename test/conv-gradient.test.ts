import { expect, it } from "vitest";
import { encodeOnnx } from "../src/formats/onnx/index.ts";
import { Graph, Model, toFloat32, type Value } from "../src/ir/index.ts";
import { GraphBuilder } from "../src/ops/builder.ts";
import { convGeometry, type Formulation } from "../src/ops/gradients/conv.ts";
import { inputFormulations } from "../src/ops/gradients/conv-input.ts";
import { weightFormulations, weightRole } from "../src/ops/gradients/conv-weight.ts";
import { ortNode } from "../src/runtime/ort-node.ts";
import { differentiate } from "../src/train/gradient.ts";
import { seededRandom } from "../src/util/random.ts";

interface Geometry {
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly strides?: readonly number[];
  readonly dilations?: readonly number[];
  readonly pads?: readonly number[];
  readonly group?: number;
  readonly auto_pad?: string;
}

/** Strides that leave rows over, one-sided padding, dilation, groups, multipliers, 1-D and 3-D. */
const geometries: Readonly<Record<string, Geometry>> = {
  plain: { x: [2, 4, 9, 8], w: [6, 4, 3, 3] },
  padded: { x: [2, 4, 9, 8], w: [6, 4, 3, 3], pads: [1, 1, 1, 1] },
  "stride 2 with rows left over": { x: [2, 4, 10, 8], w: [6, 4, 3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
  "one-sided padding": { x: [2, 4, 9, 8], w: [6, 4, 3, 3], strides: [2, 1], pads: [0, 0, 1, 2] },
  SAME_UPPER: { x: [2, 3, 9, 8], w: [5, 3, 3, 3], strides: [2, 2], auto_pad: "SAME_UPPER" },
  dilated: { x: [2, 3, 11, 12], w: [5, 3, 3, 3], dilations: [2, 3], pads: [2, 3, 2, 3] },
  "dilated and strided": { x: [2, 3, 13, 12], w: [5, 3, 3, 3], dilations: [2, 2], strides: [3, 2], pads: [1, 2, 1, 2] },
  "wide kernel": { x: [2, 2, 12, 12], w: [3, 2, 7, 5], strides: [2, 2], pads: [3, 2, 3, 2] },
  pointwise: { x: [3, 5, 6, 7], w: [4, 5, 1, 1] },
  "pointwise with stride": { x: [3, 5, 7, 7], w: [4, 5, 1, 1], strides: [2, 2] },
  depthwise: { x: [2, 4, 9, 8], w: [4, 1, 3, 3], group: 4, pads: [1, 1, 1, 1] },
  "depthwise with stride": { x: [2, 4, 9, 8], w: [4, 1, 3, 3], group: 4, strides: [2, 2], pads: [1, 1, 1, 1] },
  "depthwise 5x5, dilated": { x: [2, 3, 12, 11], w: [3, 1, 5, 5], group: 3, dilations: [2, 1], pads: [4, 2, 4, 2] },
  "depthwise with multiplier": { x: [2, 3, 9, 8], w: [6, 1, 3, 3], group: 3 },
  grouped: { x: [2, 6, 8, 7], w: [4, 3, 3, 3], group: 2, pads: [1, 1, 1, 1] },
  "1-D": { x: [2, 3, 16], w: [5, 3, 4], strides: [3] },
  "3-D": { x: [1, 2, 5, 6, 7], w: [3, 2, 3, 3, 3], pads: [1, 1, 1, 1, 1, 1], strides: [1, 2, 2] },
};

/** Both gradients of a convolution by each formulation that applies. */
async function gradients(
  geometry: Geometry,
  formulations: readonly Formulation[],
  operand: "x" | "w",
): Promise<Record<string, Float32Array>> {
  const graph = new Graph("gradients");
  const b = new GraphBuilder(graph);
  const uniform = seededRandom(5);
  const draw = (shape: readonly number[]): Value =>
    b.floats(
      shape,
      Float32Array.from({ length: shape.reduce((a, d) => a * d, 1) }, () => 2 * uniform() - 1),
    );
  const values = { x: draw(geometry.x), w: draw(geometry.w) };
  const { x: _, w: __, ...attributes } = geometry;
  const y = b.op("Conv", [values.x, values.w], attributes);
  const g = convGeometry(b, values.x, values.w, y, {
    strides: undefined,
    pads: undefined,
    auto_pad: "NOTSET",
    group: 1,
    ...attributes,
  });
  const dy = draw(b.shape(y));
  for (const { name, applies, build } of formulations) {
    if (!applies(g)) continue;
    const result = b.op("Identity", [build(b, g, values[operand], dy)]);
    expect(b.shape(result), name).toEqual(operand === "x" ? geometry.w : geometry.x);
    graph.rename(result, name);
    graph.addOutput(result);
  }
  const session = await ortNode.load(encodeOnnx(new Model({ graph })));
  const outputs = await session.run({});
  await session.release();
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, toFloat32(tensor)]));
}

function expectEqual(results: Readonly<Record<string, Float32Array>>): void {
  const [[first, reference] = ["", new Float32Array()], ...others] = Object.entries(results);
  const norm = Math.hypot(...reference);
  for (const [name, values] of others) {
    const error = Math.hypot(...values.map((v, i) => v - (reference[i] as number)));
    // different orders of float32 sums of up to a few hundred terms
    expect(error / norm, `${name} against ${first}`).toBeLessThan(1e-5);
  }
}

it.each(Object.entries(geometries))("all formulations of the weight gradient agree: %s", async (_, geometry) => {
  const results = await gradients(geometry, weightFormulations, "x");
  expect(Object.keys(results).length).toBeGreaterThanOrEqual(2);
  expectEqual(results);
});

it.each(Object.entries(geometries))("all formulations of the input gradient agree: %s", async (_, geometry) => {
  expectEqual(await gradients(geometry, inputFormulations, "w"));
});

it("a chooser overrides the table", () => {
  const build = (choice: string | undefined): { nodes: string[]; asked: string[] } => {
    const graph = new Graph("chosen");
    const asked: string[] = [];
    const b = new GraphBuilder(graph, {
      choose: (role, _, candidates) => {
        if (role === weightRole) asked.push(...candidates);
        return role === weightRole ? choice : undefined;
      },
    });
    const x = b.floats([1, 2, 4, 4], new Float32Array(32));
    const w = b.floats([3, 2, 3, 3], new Float32Array(54));
    differentiate(b, b.reduceSum(b.op("Conv", [x, w]), undefined, false), [w]);
    return { nodes: [...graph.nodes].map(({ opType }) => opType), asked };
  };
  expect(build(undefined).asked).toEqual(expect.arrayContaining(["swap", "tap-batched", "columns-gemm"]));
  expect(build("swap").nodes.filter((type) => type === "Conv")).toHaveLength(2);
  expect(build("columns-gemm").nodes.filter((type) => type === "Gemm")).toHaveLength(1);
});
