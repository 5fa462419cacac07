import { encodeOnnx } from "../../formats/onnx/index.ts";
import { type Graph, type Model, tensorOf, toFloat32, type Value } from "../../ir/index.ts";
import { cutModel } from "../../passes/cut.ts";
import type { PtqContext } from "./context.ts";

/** A value and the axis that counts its channels. */
export interface ChannelPoint {
  readonly output: string;
  readonly axis: number;
}

type Reduction = "mean" | "square" | "magnitude";
const resultName = (i: number): string => `edgewright_statistic_${i}`;

/** The model up to some values, giving their mean mean square or largest magnitude over all axes but the channel's. */
function statisticsModel(model: Model, points: readonly ChannelPoint[], reduction: Reduction): Model {
  const part = cutModel(model, { outputs: points.map(({ output }) => output) });
  const { graph } = part;
  const values = points.map(({ output }) => graph.outputs.find(({ name }) => name === output) as Value);
  graph.outputs.length = 0;
  for (const [i, value] of values.entries())
    addReduction(graph, value, { axis: points[i]?.axis as number, reduction, name: resultName(i) });
  return part;
}

function addReduction(
  graph: Graph,
  value: Value,
  { axis, reduction, name }: { axis: number; reduction: Reduction; name: string },
): void {
  const rank = value.type?.shape?.length as number;
  const axes = Array.from({ length: rank }, (_, d) => d).filter((d) => d !== (axis < 0 ? axis + rank : axis));
  const input = graph.addInitializer(graph.freshName("statistic_axes"), tensorOf("int64", [axes.length], axes));
  const named = (part: string): { name: string } => ({ name: graph.freshName(`statistic_${part}`) });
  const sources: Readonly<Record<Reduction, () => Value>> = {
    mean: () => value,
    square: () => graph.node("Mul", [value, value], named("square")).output,
    magnitude: () => graph.node("Abs", [value], named("magnitude")).output,
  };
  const node = graph.node(reduction === "magnitude" ? "ReduceMax" : "ReduceMean", [sources[reduction](), input], {
    name: graph.freshName("statistic"),
    outputs: [name],
    attributes: { keepdims: 0 },
  });
  graph.addOutput(node.output);
}

async function reduced(
  model: Model,
  points: readonly ChannelPoint[],
  { feeds, executor, threads, options }: PtqContext,
  reduction: Reduction,
): Promise<Float64Array[]> {
  const session = await executor.load(encodeOnnx(statisticsModel(model, points, reduction)), { threads });
  const found: Float64Array[] = [];
  try {
    for (const one of feeds) {
      options.signal?.throwIfAborted();
      const outputs = await session.run(one);
      points.forEach((_, i) => {
        const values = toFloat32(outputs[resultName(i)] as NonNullable<(typeof outputs)[string]>);
        const known = found[i] ?? new Float64Array(values.length);
        found[i] = known.map((x, c) =>
          reduction === "magnitude" ? Math.max(x, values[c] as number) : x + (values[c] as number) / feeds.length,
        );
      });
    }
  } finally {
    await session.release();
  }
  return found;
}

/** Mean per channel of each value over all feeds. */
export const channelMeans = (model: Model, points: readonly ChannelPoint[], context: PtqContext): Promise<Float64Array[]> =>
  reduced(model, points, context, "mean");

/** Mean square per channel of each value over all feeds. */
export const channelMeanSquares = (model: Model, points: readonly ChannelPoint[], context: PtqContext): Promise<Float64Array[]> =>
  reduced(model, points, context, "square");

/** Largest magnitude per channel of each value over all feeds. */
export const channelMaxima = (model: Model, points: readonly ChannelPoint[], context: PtqContext): Promise<Float64Array[]> =>
  reduced(model, points, context, "magnitude");
