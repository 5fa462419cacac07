import { addDims, ceilDivDims, type Dim, maxDims, minDims, mulDims, type Shape, subDims, type Value } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { fromEnd, input, link, output } from "./channel-links.ts";
import { type ChannelCall, type ChannelLink, defineOp, sameScale, type TensorInfo } from "./define.ts";
import { contentsOf, fill, moves, small, stridesOf } from "./element-layout.ts";
import { concatGradient } from "./gradients/moves.ts";
import { axisIndex, elementsOf, type Reject, replaceDim, unranked } from "./type-rules.ts";

function concatShape(shapes: readonly (Shape | undefined)[], attribute: number, reject: Reject): Dim[] | undefined {
  const known = shapes.filter((shape) => shape !== undefined);
  const [first] = known;
  if (!first) return undefined;
  const axis = axisIndex(attribute, first.length, reject);
  if (known.some((shape) => shape.length !== first.length)) reject(`inputs have different ranks: [${known.join("], [")}]`);
  return first.map((_, i) => {
    if (i === axis) return known.length < shapes.length ? "?" : known.map((shape) => shape[i] as Dim).reduce(addDims);
    return known.map((shape) => shape[i] as Dim).reduce((a, b) => equalExtent(a, b, i, reject));
  });
}

/** Extents that must be equal: a number wins over a symbol, a symbol over "?". */
function equalExtent(a: Dim, b: Dim, axis: number, reject: Reject): Dim {
  if (typeof a === "number" && typeof b === "number" && a !== b) reject(`inputs differ along axis ${axis}: ${a} and ${b}`);
  return typeof b === "number" || a === "?" ? b : a;
}

function concatElements(
  inputs: readonly (TensorInfo | undefined)[],
  shape: readonly Dim[],
  axis: number,
): readonly Dim[] | undefined {
  if (!small(shape)) return undefined;
  const parts = inputs.map(contentsOf);
  if (parts.some((part) => !part)) return undefined;
  return fill(shape, (coordinate) => {
    const at = [...coordinate];
    for (const part of parts) {
      const extent = part?.shape[axis] as number;
      if ((at[axis] as number) < extent) {
        const strides = stridesOf(part?.shape ?? []);
        return part?.elements[at.reduce((sum, index, i) => sum + index * (strides[i] as number), 0)] ?? "?";
      }
      at[axis] = (at[axis] as number) - extent;
    }
    return "?";
  });
}

/** Axes beside the joined one are shared; along it, each part lies at its offset, as far as offsets are numbers. */
function partLinks(
  whole: "input" | "output",
  wholeShape: Shape | undefined,
  parts: readonly (Shape | undefined)[],
  axis: number,
): ChannelLink[] {
  if (!wholeShape) return [];
  const at = fromEnd(axis, wholeShape.length);
  const links: ChannelLink[] = [];
  let offset: Dim = 0;
  parts.forEach((part, index) => {
    wholeShape.forEach((_, i) => {
      const [a, b] = whole === "output" ? [input(index, i), output(0, i)] : [output(index, i), input(0, i)];
      if (i !== at) links.push(link(a, b));
      else if (typeof offset === "number") links.push({ ...link(a, b), offset });
    });
    offset = addDims(offset, part?.[at] ?? "?");
  });
  return links;
}

export const concat = defineOp({
  type: "Concat",
  since: 4,
  inputs: ["...inputs"],
  outputs: ["concat_result"],
  attributes: { axis: attr.required.int() },
  infer({ inputs }, { attributes, reject }) {
    const dtype = inputs.find((info) => info)?.dtype;
    if (inputs.length === 0) reject("it has no inputs");
    if (!dtype) return {};
    const shape = concatShape(
      inputs.map((info) => info?.shape),
      attributes.axis,
      reject,
    );
    if (!shape) return { concat_result: unranked(dtype) };
    return { concat_result: { dtype, shape, elements: concatElements(inputs, shape, fromEnd(attributes.axis, shape.length)) } };
  },
  cost: moves,
  channels: ({ attributes, inputShapes, outputShapes }: ChannelCall) =>
    partLinks("output", outputShapes[0], inputShapes, Number(attributes.axis)),
  quantization: sameScale("inputs"),
  gradient: ({ b, inputs: { inputs }, grads: { concat_result: dy }, attributes: { axis } }) =>
    dy ? { inputs: concatGradient(b, inputs as readonly Value[], axis, dy) } : {},
});

/** Extents of the parts: as given, else equal parts of which the last may be smaller. */
function partExtents(extent: Dim, given: readonly Dim[] | undefined, count: number, reject: Reject): readonly Dim[] {
  if (given) {
    if (given.length !== count) reject(`it has ${count} outputs but ${given.length} sizes`);
    const total = given.reduce(addDims, 0);
    if (typeof total === "number" && typeof extent === "number" && total !== extent)
      reject(`the sizes [${given}] do not add up to ${extent}`);
    return given;
  }
  const chunk = ceilDivDims(extent, count);
  return Array.from({ length: count }, (_, i) => maxDims(0, minDims(chunk, subDims(extent, mulDims(chunk, i)))));
}

export const split = defineOp({
  type: "Split",
  since: 13,
  inputs: ["input", "split?"],
  outputs: ["...outputs"],
  attributes: { axis: attr.int(0), num_outputs: attr.int() },
  infer({ input: data, split: sizes }, { attributes, outputCount, reject }) {
    const { shape, dtype } = data;
    if (!shape) return { outputs: Array.from({ length: outputCount }, () => unranked(dtype)) };
    const axis = axisIndex(attributes.axis, shape.length, reject);
    const given = elementsOf(sizes);
    const extents =
      sizes && !given
        ? Array.from({ length: outputCount }, (): Dim => "?")
        : partExtents(shape[axis] as Dim, given, attributes.num_outputs ?? outputCount, reject);
    let offset: Dim = 0;
    return {
      outputs: extents.map((extent) => {
        const start = offset;
        offset = addDims(offset, extent);
        const known = shape.length === 1 ? contentsOf(data)?.elements : undefined;
        const ends = typeof start === "number" && typeof offset === "number";
        const elements = known && ends ? known.slice(start as number, offset as number) : undefined;
        return { dtype, shape: replaceDim(shape, axis, extent), elements };
      }),
    };
  },
  cost: moves,
  channels: ({ attributes, inputShapes, outputShapes }: ChannelCall) =>
    partLinks("input", inputShapes[0], outputShapes, Number(attributes.axis)),
  quantization: sameScale("input"),
  gradient: ({ b, outputs: { outputs }, grads, attributes: { axis } }) => {
    const given = grads.outputs as unknown as readonly (Value | undefined)[];
    const parts = outputs.map((output, i) => given[i] ?? b.zeros(b.shape(output as Value)));
    return { input: b.concat(parts, axis) };
  },
});
