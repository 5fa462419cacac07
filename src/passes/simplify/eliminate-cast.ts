import { type DataType, dataTypeFromCode } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { canReplace, prune, replaceValue } from "./edit.ts";
import { dtypeOf, producerOf } from "./facts.ts";

// Cast<A>(x : A) = x
// Cast<C>(Cast<B>(x : A)) = Cast<C>(x)           when B holds every value of A

/** Types that hold every value of the key. */
const wider: Readonly<Partial<Record<DataType, readonly DataType[]>>> = {
  bool: ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32", "float64"],
  uint8: ["uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32", "float64"],
  int8: ["int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"],
  uint16: ["uint32", "int32", "uint64", "int64", "float32", "float64"],
  int16: ["int32", "int64", "float32", "float64"],
  uint32: ["uint64", "int64", "float64"],
  int32: ["int64", "float64"],
  float16: ["float32", "float64"],
  bfloat16: ["float32", "float64"],
  float32: ["float64"],
};

export const eliminateCast = defineRule({
  name: "eliminate-cast",
  summary: "Cast to the type that the tensor has",
  anchors: ["Cast"],
  match(node) {
    const input = node.inputs[0];
    const to = dataTypeFromCode(node.int("to", 0));
    return input && to !== undefined && dtypeOf(input) === to ? { node, input } : undefined;
  },
  check: ({ node, input }) => canReplace(node.output, input),
  rewrite: ({ node, input }) => replaceValue(node.output, input),
});

export const fuseCasts = defineRule({
  name: "fuse-casts",
  summary: "Cast after a Cast that lost nothing",
  anchors: ["Cast"],
  match(node) {
    const first = producerOf(node.inputs[0], "Cast");
    const input = first?.inputs[0];
    return first && input ? { node, first, input } : undefined;
  },
  check({ first, input }) {
    const from = dtypeOf(input);
    const through = dataTypeFromCode(first.int("to", 0));
    if (!from || !through) return "the types are not known";
    return wider[from]?.includes(through) || `${through} does not hold every ${from}`;
  },
  rewrite({ node, first, input }) {
    node.setInput(0, input);
    prune(first);
  },
});
