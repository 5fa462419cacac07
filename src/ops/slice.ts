import { addDims, ceilDivDims, type Dim, isAtLeast, isKnown, maxDims, minDims, numel, subDims } from "../ir/index.ts";
import { input, link, output } from "./channel-links.ts";
import { bytesOf } from "./cost-bytes.ts";
import { type ChannelCall, type ChannelLink, defineOp, sameScale, type TensorInfo } from "./define.ts";
import { contentsOf, fill, small, stridesOf } from "./element-layout.ts";
import { sliceGradient } from "./gradients/moves.ts";
import { anyOfRank, axisIndex, elementsOf, integersOf, type Reject, unranked } from "./type-rules.ts";

interface Cut {
  readonly axis: number;
  readonly start: Dim;
  readonly end: Dim;
  readonly step: number;
}

/** Exporters write "to the end" as INT32_MAX or INT64_MAX; no axis is as long. */
const infinite = 2 ** 31 - 1;

/** A bound counted from the front (negative ones count from the end) and clamped; "?" when its sign is open. */
function fromFront(bound: Dim, extent: Dim, atLeast: number, atMost: Dim): Dim {
  if (typeof bound === "number" && bound >= infinite) return atMost;
  if (typeof bound === "number" && bound <= -infinite) return atLeast;
  if (isAtLeast(bound, 0)) return minDims(bound, atMost);
  return isAtLeast(subDims(0, bound), 1) ? maxDims(atLeast, addDims(extent, bound)) : "?";
}

/** First index, and how many are taken. ONNX clamps the start to the axis also when it steps backwards (Python does not). */
function resolve(extent: Dim, { start, end, step }: Cut): { first: Dim; count: Dim } {
  const atMost = step > 0 ? extent : subDims(extent, 1);
  const first = fromFront(start, extent, 0, atMost);
  const last = fromFront(end, extent, step > 0 ? 0 : -1, atMost);
  const span = step > 0 ? subDims(last, first) : subDims(first, last);
  return { first, count: maxDims(0, ceilDivDims(span, Math.abs(step))) };
}

/** Slices of whole axes; undefined when it is not known which axes, or in which steps. */
function cutsOf(
  rank: number,
  ports: { readonly [K in "starts" | "ends" | "axes" | "steps"]: TensorInfo | undefined },
  reject: Reject,
): readonly Cut[] | undefined {
  const length = [ports.starts, ports.ends]
    .map((info) => elementsOf(info)?.length ?? info?.shape?.[0])
    .find((n) => typeof n === "number");
  const axes = ports.axes ? integersOf(ports.axes) : Array.from({ length: Number(length ?? rank) }, (_, i) => i);
  const steps = ports.steps ? integersOf(ports.steps) : axes?.map(() => 1);
  if (!axes || !steps || length === undefined) return undefined;
  if (axes.length !== length || steps.length !== length) reject("starts, ends, axes and steps have different lengths");
  if (steps.includes(0)) reject("a step is 0");
  const [starts, ends] = [elementsOf(ports.starts), elementsOf(ports.ends)];
  return axes.map((axis, i) => ({
    axis: axisIndex(axis, rank, reject),
    start: starts?.[i] ?? "?",
    end: ends?.[i] ?? "?",
    step: steps[i] as number,
  }));
}

function sliceElements(
  data: TensorInfo,
  shape: readonly Dim[],
  starts: readonly Dim[],
  steps: readonly number[],
): readonly Dim[] | undefined {
  const contents = contentsOf(data);
  if (!contents || !small(shape) || !starts.every((start) => typeof start === "number")) return undefined;
  const strides = stridesOf(contents.shape);
  return fill(
    shape,
    (at) =>
      contents.elements[
        at.reduce((sum, index, i) => sum + ((starts[i] as number) + index * (steps[i] as number)) * (strides[i] as number), 0)
      ] ?? "?",
  );
}

function sliceLinks({ inputShapes, outputShapes, inputElements }: ChannelCall): ChannelLink[] {
  const [from, to] = [inputShapes[0], outputShapes[0]];
  if (!from || !to) return [];
  const axes = inputElements?.[3] ?? (inputShapes[3] ? undefined : from.map((_, i) => i));
  const steps = inputElements?.[4] ?? (inputShapes[4] ? undefined : axes?.map(() => 1));
  if (!axes || !steps) return [];
  const touched = new Map(axes.map((axis, i) => [Number(axis) < 0 ? Number(axis) + from.length : Number(axis), i]));
  return from.flatMap((extent, axis) => {
    const at = touched.get(axis);
    if (at === undefined) return [link(input(0, axis), output(0, axis))];
    const start = inputElements?.[1]?.[at];
    if (steps[at] !== 1 || typeof start !== "number" || typeof extent !== "number") return [];
    // The slice's index i is the input's index start + i.
    return [{ ...link(output(0, axis), input(0, axis)), offset: start < 0 ? Math.max(0, start + extent) : start }];
  });
}

export const slice = defineOp({
  type: "Slice",
  since: 10,
  inputs: ["data", "starts", "ends", "axes?", "steps?"],
  outputs: ["output"],
  infer({ data, ...ports }, { reject }) {
    const { shape, dtype } = data;
    if (!shape) return { output: unranked(dtype) };
    const cuts = cutsOf(shape.length, ports, reject);
    if (!cuts) return { output: { dtype, shape: anyOfRank(shape.length) } };
    const result = [...shape];
    const starts: Dim[] = shape.map(() => 0);
    const steps = shape.map(() => 1);
    for (const cut of cuts) {
      const extent = shape[cut.axis] as Dim;
      const { first, count } = resolve(extent, cut);
      result[cut.axis] = isKnown(count) ? count : wholeAxis(cut) ? extent : "?";
      starts[cut.axis] = first;
      steps[cut.axis] = cut.step;
    }
    return { output: { dtype, shape: result, elements: sliceElements(data, result, starts, steps) } };
  },
  // Only what is kept is read.
  cost: (_, { output: out }) => ({ macs: 0, flops: 0, bytes: 2 * bytesOf({ dtype: out.dtype, shape: [numel(out.shape)] }) }),
  channels: sliceLinks,
  quantization: sameScale("data"),
  learned: ["data"], // rows of a table: position embeddings
  gradient: ({ b, inputs: { data, starts, ends, axes, steps }, outputs: { output: y }, grads: { output: dy } }) =>
    dy ? { data: sliceGradient(b, data, [starts, ends, axes, steps], y, dy) } : {},
});

/** A slice that keeps everything even where the extent is not known. */
const wholeAxis = ({ start, end, step }: Cut): boolean => start === 0 && step === 1 && typeof end === "number" && end >= infinite;
