/** The nets of the training benches, the same as in bench/peers/train_step.py. */
import { Graph, Model, tensorOf, type Value } from "../../src/ir/index.ts";
import { GraphBuilder } from "../../src/ops/builder.ts";
import { seededNormal, seededRandom } from "../../src/util/random.ts";
import { buildModel } from "../../src/zoo/index.ts";

const normal = seededNormal(seededRandom(1));

/** Pre-norm encoder: 2 layers, width 128, 64 tokens, 4 heads, hidden width 512, mean pooling, 10 classes. */
function transformer(): Model {
  const [vocabulary, length, width, layers, heads, hidden] = [1000, 64, 128, 2, 4, 512];
  const graph = new Graph("transformer");
  const b = new GraphBuilder(graph);
  const tokens = graph.addInput("tokens", { dtype: "int64", shape: ["N", length] });
  const weight = (name: string, shape: readonly number[], deviation: number): Value =>
    graph.addInitializer(
      name,
      tensorOf(
        "float32",
        shape,
        Float32Array.from({ length: shape.reduce((a, d) => a * d, 1) }, () => deviation * normal()),
      ),
    );
  const filled = (name: string, size: number, value: number): Value =>
    graph.addInitializer(name, tensorOf("float32", [size], new Float32Array(size).fill(value)));
  const linear = (name: string, x: Value, from: number, to: number): Value =>
    b.add(b.matMul(x, weight(`${name}.weight`, [from, to], from ** -0.5)), filled(`${name}.bias`, to, 0));
  const norm = (name: string, x: Value): Value =>
    b.op("LayerNormalization", [x, filled(`${name}.scale`, width, 1), filled(`${name}.shift`, width, 0)], { axis: -1 });
  const split = (x: Value, perm: readonly number[]): Value =>
    b.op("Transpose", [b.op("Reshape", [x, b.ints([0, length, heads, width / heads])])], { perm });
  let x = b.add(b.op("Gather", [weight("embedding", [vocabulary, width], 1), tokens]), weight("position", [length, width], 0.02));
  for (let layer = 0; layer < layers; layer++) {
    const name = `layer${layer}`;
    const [q, k, v] = b.split(linear(`${name}.qkv`, norm(`${name}.norm1`, x), width, 3 * width), [width, width, width], -1);
    const scores = b.mul(b.matMul(split(q as Value, [0, 2, 1, 3]), split(k as Value, [0, 2, 3, 1])), (width / heads) ** -0.5);
    const mixed = b.matMul(b.op("Softmax", [scores], { axis: -1 }), split(v as Value, [0, 2, 1, 3]));
    const joined = b.op("Reshape", [b.op("Transpose", [mixed], { perm: [0, 2, 1, 3] }), b.ints([0, length, width])]);
    x = b.add(x, linear(`${name}.out`, joined, width, width));
    const up = b.op("Gelu", [linear(`${name}.up`, norm(`${name}.norm2`, x), width, hidden)]);
    x = b.add(x, linear(`${name}.down`, up, hidden, width));
  }
  const logits = linear("head", b.reduceMean(norm("norm", x), [1], false), width, 10);
  graph.addOutput(logits);
  graph.rename(logits, "logits");
  return new Model({ graph });
}

export interface Net {
  readonly name: "resnet8" | "mobilenetv2" | "transformer";
  readonly batch: number;
  readonly classes: number;
  readonly model: () => Model;
}

export const nets: readonly Net[] = [
  { name: "resnet8", batch: 64, classes: 10, model: () => buildModel("resnet8", { classes: 10 }) },
  {
    name: "mobilenetv2",
    batch: 16,
    classes: 100,
    model: () => buildModel("mobilenet-v2", { classes: 100, resolution: 96 }),
  },
  { name: "transformer", batch: 32, classes: 10, model: transformer },
];
