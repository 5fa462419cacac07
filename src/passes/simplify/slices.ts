import { int64Tensor, type Node } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { addConstant, canReplace, prune, replaceValue } from "./edit.ts";
import { normalizeAxes, numbersOf, producerOf, rankOf, shapeOf } from "./facts.ts";

// Slice(x) = x                                            when every step is 1 and every range is the whole axis
// Slice<b>(Slice<a>(x)) = Slice<a and b>(x)               when they cut different axes

interface Range {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** Ends at or beyond this mean "to the end of the axis". */
const farEnd = 2 ** 31 - 1;

/** Open ends are written as INT64_MAX, which a double does not hold: they become INT32_MAX, which means the same. */
const withinInt32 = (n: number): number => Math.min(Math.max(n, -farEnd), farEnd);

/** The constant ranges of a Slice, by axis; undefined when something is computed or an axis repeats. */
function rangesOf(node: Node): Range[] | undefined {
  const starts = numbersOf(node.inputs[1]);
  const ends = numbersOf(node.inputs[2]);
  const rank = rankOf(node.inputs[0]);
  if (!starts || !ends || starts.length !== ends.length || rank === undefined) return undefined;
  const axes = node.inputs[3] ? numbersOf(node.inputs[3]) : starts.map((_, i) => i);
  const steps = node.inputs[4] ? numbersOf(node.inputs[4]) : starts.map(() => 1);
  const known = axes && normalizeAxes(axes, rank);
  if (!steps || !known || new Set(known).size !== starts.length) return undefined;
  return axes.map((axis, i) => ({
    axis: axis < 0 ? axis + rank : axis,
    start: starts[i] as number,
    end: ends[i] as number,
    step: steps[i] as number,
  }));
}

export const eliminateSlice = defineRule({
  name: "eliminate-slice",
  summary: "Slice of the whole tensor",
  anchors: ["Slice"],
  match(node) {
    const input = node.inputs[0];
    const shape = shapeOf(input);
    const ranges = input && shape && rangesOf(node);
    const whole = ranges?.every(({ axis, start, end, step }) => {
      const extent = shape?.[axis];
      if (step !== 1) return false;
      if (typeof extent !== "number") return start === 0 && end >= farEnd;
      return (start === 0 || start <= -extent) && end >= extent;
    });
    return whole && input ? { node, input } : undefined;
  },
  check: ({ node, input }) => canReplace(node.output, input),
  rewrite: ({ node, input }) => replaceValue(node.output, input),
});

export const fuseSlices = defineRule({
  name: "fuse-slices",
  summary: "Slice after Slice of other axes",
  anchors: ["Slice"],
  match(node) {
    const first = producerOf(node.inputs[0], "Slice");
    const [inner, outer] = [first && rangesOf(first), rangesOf(node)];
    return first && inner && outer ? { node, first, inner, outer } : undefined;
  },
  check: ({ inner, outer }) => !outer.some(({ axis }) => inner.some((range) => range.axis === axis)) || "both cut the same axis",
  rewrite({ node, first, inner, outer }) {
    const ranges = [...inner, ...outer];
    const parts = [
      ["starts", "start"],
      ["ends", "end"],
      ["axes", "axis"],
      ["steps", "step"],
    ] as const;
    const inputs = parts.map(([name, key]) =>
      addConstant(node, name, int64Tensor(ranges.map((range) => withinInt32(range[key])))),
    );
    node.setInputs([first.inputs[0], ...inputs]);
    prune(first);
  },
});
