import { type AttributeSpecs, attr } from "./attributes.ts";
import { defineOp, type OpDef } from "./define.ts";
import { views } from "./element-layout.ts";

/** Sequences and optionals are no dense tensors: nothing is inferred of them, declared types stand. */
function opaque(
  type: string,
  since: number,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: AttributeSpecs = {},
): OpDef {
  return defineOp({ type, since, inputs, outputs, attributes, infer: () => ({}), cost: views, channels: "barrier" });
}

export const sequenceOps: readonly OpDef[] = [
  opaque("SequenceEmpty", 11, [], ["output"], { dtype: attr.int() }),
  opaque("SequenceConstruct", 11, ["...inputs"], ["output_sequence"]),
  opaque("SequenceInsert", 11, ["input_sequence", "tensor", "position?"], ["output_sequence"]),
  opaque("SequenceErase", 11, ["input_sequence", "position?"], ["output_sequence"]),
  opaque("SequenceAt", 11, ["input_sequence", "position"], ["tensor"]),
  opaque("SplitToSequence", 11, ["input", "split?"], ["output_sequence"], { axis: attr.int(0), keepdims: attr.int(1) }),
  opaque("ConcatFromSequence", 11, ["input_sequence"], ["concat_result"], { axis: attr.required.int(), new_axis: attr.int(0) }),
  opaque("SequenceMap", 17, ["input_sequence", "...additional_inputs"], ["...out_sequence"], { body: attr.required.graph() }),
  opaque("Optional", 15, ["input?"], ["output"]),
  opaque("OptionalGetElement", 15, ["input"], ["output"]),
];

/** Inputs of these may be of any kind, yet the result is a tensor of known type. */
const scalarOf = (type: string, since: number, port: string, output: string, dtype: "int64" | "bool"): OpDef =>
  defineOp({
    type,
    since,
    // A list, because a single input of which nothing is known would stop inference.
    inputs: [`...${port}`],
    outputs: [output],
    infer: () => ({ [output]: { dtype, shape: [] } }),
    cost: views,
    channels: "barrier",
  });

export const sequenceQueries: readonly OpDef[] = [
  scalarOf("SequenceLength", 11, "input_sequence", "length", "int64"),
  scalarOf("OptionalHasElement", 15, "input", "output", "bool"),
];
