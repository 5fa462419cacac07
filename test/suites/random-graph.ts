import { Graph, Model, type Node, tensorOf, type Value } from "../../src/ir/index.ts";
import { seededRandom } from "../../src/util/random.ts";

interface Draw {
  /** A whole number below `count`. */
  readonly pick: (count: number) => number;
  readonly real: () => number;
}

interface Build extends Draw {
  readonly graph: Graph;
  /** Values of shape [2, channels, 6, 6]. */
  readonly pool: { readonly value: Value; readonly channels: number }[];
}

type Grow = (build: Build, from: Build["pool"][number]) => Node | readonly [Node, number];

const constant = ({ graph, real }: Build, shape: readonly number[], map = (x: number) => x): Value => {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return graph.addInitializer(
    graph.freshName("c"),
    tensorOf(
      "float32",
      shape,
      Float32Array.from({ length: size }, () => map(real())),
    ),
  );
};
const filled = ({ graph }: Build, shape: readonly number[], value: number): Value =>
  graph.addInitializer(graph.freshName("c"), tensorOf("float32", shape, Array(shape.reduce((p, d) => p * d, 1)).fill(value)));
const ints = ({ graph }: Build, values: readonly number[]): Value =>
  graph.addInitializer(graph.freshName("i"), tensorOf("int64", [values.length], values));
const positive = (x: number) => 0.5 + Math.abs(x);

const unary: Grow = ({ graph, pick }, { value }) =>
  graph.node(["Relu", "Sigmoid", "Identity", "Tanh", "Neg", "Abs", "Softplus", "HardSigmoid"][pick(8)] as string, [value]);

const withConstant: Grow = (build, { value, channels }) => {
  const { graph, pick } = build;
  const shape = ([[], [1], [channels, 1, 1], [1, channels, 1, 1], [6], [channels, 6, 6]] as const)[pick(6)] as readonly number[];
  const opType = ["Add", "Sub", "Mul", "Div"][pick(4)] as string;
  const kind = pick(4);
  const operand =
    kind === 0
      ? filled(build, shape, 0.5)
      : kind === 1 && opType !== "Div"
        ? filled(build, shape, 0)
        : kind === 2
          ? filled(build, shape, 1)
          : constant(build, shape, positive);
  return graph.node(opType, pick(4) === 0 && opType !== "Div" ? [operand, value] : [value, operand]);
};

const clip: Grow = (build, { value }) =>
  build.graph.node("Clip", [
    value,
    build.pick(2) ? filled(build, [], build.pick(3) - 2) : undefined,
    build.pick(2) ? filled(build, [], build.pick(3) + 0.5) : undefined,
  ]);

const convolution: Grow = (build, { value, channels }) => {
  const out = 2 + 2 * build.pick(2);
  const kernel = build.pick(2) ? 3 : 1;
  const pads = Array<number>(4).fill((kernel - 1) / 2);
  const group = build.pick(3) === 0 ? 2 : 1;
  const weight = constant(build, [out, channels / group, kernel, kernel]);
  const bias = build.pick(2) ? [constant(build, [out])] : [];
  if (kernel === 3 && build.pick(2)) {
    const padded = build.graph.node("Pad", [value, ints(build, [0, 0, 1, 1, 0, 0, 1, 1])]);
    return [build.graph.node("Conv", [padded.output, weight, ...bias], { attributes: { group } }), out];
  }
  return [build.graph.node("Conv", [value, weight, ...bias], { attributes: { group, pads } }), out];
};

const transposedConvolution: Grow = (build, { value, channels }) => {
  const weight = constant(build, [channels, 2, 1, 1]);
  return [build.graph.node("ConvTranspose", [value, weight], { attributes: { group: 2 } }), 4];
};

const batchNormalization: Grow = (build, { value, channels }) =>
  build.graph.node("BatchNormalization", [
    value,
    constant(build, [channels]),
    constant(build, [channels]),
    constant(build, [channels]),
    constant(build, [channels], positive),
  ]);

const pool: Grow = (build, { value }) => {
  const opType = build.pick(2) ? "MaxPool" : "AveragePool";
  if (build.pick(2)) return build.graph.node(opType, [value], { attributes: { kernel_shape: [1, 1] } });
  const padded = build.graph.node("Pad", [value, ints(build, [0, 0, 1, 1, 0, 0, 1, 1])]);
  return build.graph.node(opType, [padded.output], { attributes: { kernel_shape: [3, 3] } });
};

/** There and back: by Transpose, Reshape, Squeeze, Cast or Slice and Concat. */
const roundTrip: Grow = (build, { value, channels }) => {
  const { graph, pick } = build;
  const kind = pick(5);
  if (kind === 0) {
    const there = graph.node("Transpose", [value], { attributes: { perm: [0, 2, 3, 1] } });
    return graph.node("Transpose", [there.output], { attributes: { perm: pick(2) ? [0, 3, 1, 2] : [0, 3, 2, 1] } });
  }
  if (kind === 1) {
    const there = graph.node("Reshape", [value, ints(build, [0, -1])]);
    return graph.node("Reshape", [there.output, ints(build, [-1, channels, 6, 6])]);
  }
  if (kind === 2) {
    const there = graph.node("Unsqueeze", [value, ints(build, [1])]);
    return graph.node("Squeeze", [there.output, ints(build, [1])]);
  }
  if (kind === 3) {
    const there = graph.node("Cast", [value], { attributes: { to: 11 } });
    return graph.node("Cast", [there.output], { attributes: { to: 1 } });
  }
  const cut = (from: number, to: number) =>
    graph.node("Slice", [value, ints(build, [from]), ints(build, [to]), ints(build, [2])]).output;
  return graph.node("Concat", [cut(0, 2), cut(2, 99)], { attributes: { axis: 2 } });
};

const join: Grow = ({ graph, pick, pool: values }, from) => {
  const partner = values.filter(({ channels }) => channels === from.channels)[pick(values.length)] ?? from;
  if (pick(3) === 0) return [graph.node("Concat", [from.value, partner.value], { attributes: { axis: 1 } }), 2 * from.channels];
  return graph.node(pick(2) ? "Add" : "Mul", [from.value, partner.value]);
};

const growers: readonly Grow[] = [
  unary,
  withConstant,
  withConstant,
  clip,
  convolution,
  convolution,
  transposedConvolution,
  batchNormalization,
  pool,
  roundTrip,
  join,
];

/** A legal model of about `size` nodes over images of two to a few channels; the same numbers give the same model. */
export function randomModel(seed: number, size: number): Model {
  const uniform = seededRandom(seed);
  const graph = new Graph("random");
  const input = graph.addInput("x", { dtype: "float32", shape: [2, 2, 6, 6] });
  const build: Build = {
    graph,
    pick: (count) => Math.floor(uniform() * count),
    real: () => Math.round((uniform() * 2 - 1) * 1000) / 1000,
    pool: [{ value: input, channels: 2 }],
  };
  while (graph.nodeCount < size) {
    // the latest value most of the time, so that chains grow
    const from = build.pool[build.pick(3) === 0 ? build.pick(build.pool.length) : build.pool.length - 1] as Build["pool"][number];
    if (from.channels > 8) {
      build.pool.push({ value: input, channels: 2 });
      continue;
    }
    const grown = (growers[build.pick(growers.length)] as Grow)(build, from);
    const [node, channels] = "output" in grown ? [grown, from.channels] : grown;
    build.pool.push({ value: node.output, channels });
  }
  const made = build.pool.filter(({ value }) => value.producer).map(({ value }) => value);
  for (const value of new Set([made.at(-1), made[build.pick(made.length)], made[build.pick(made.length)]]))
    if (value) graph.addOutput(value);
  for (const { value, channels } of build.pool) value.type ??= { dtype: "float32", shape: [2, channels, 6, 6] };
  return new Model({ graph });
}
