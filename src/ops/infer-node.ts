import { describeNode, type Node, type Value } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { readAttributes } from "./attributes.ts";
import type { Call, OpDef, TensorInfo } from "./define.ts";
import { positional } from "./infer.ts";
import { lookupOp, namePorts } from "./registry.ts";

const infoOf = (value: Value | undefined): TensorInfo | undefined =>
  value?.type && { ...value.type, ...(value.constant ? { constant: value.constant } : {}) };

/** The record of a node whose op must be known. */
export function recordOf(node: Node, opsets: ReadonlyMap<string, number>): OpDef {
  const op = lookupOp(node, opsets);
  if (op) return op;
  throw new EdgewrightError(
    "OP_UNKNOWN",
    `${describeNode(node)} is an op that Edgewright does not know (${node.domain || "ai.onnx"}).`,
    {
      subject: describeNode(node),
      hint: "docs/ops.md lists the known ops; freeze this part of the model, or export it with standard ops.",
    },
  );
}

/** Infers the types of one node's outputs from the types of its inputs and writes them. Graph attributes are not entered. */
export function inferNodeTypes(node: Node, opsets: ReadonlyMap<string, number>): void {
  const op = recordOf(node, opsets);
  const reject = (reason: string): never => {
    throw new EdgewrightError("SHAPE_INVALID", `${describeNode(node)} is invalid: ${reason}.`, { subject: describeNode(node) });
  };
  const call: Call = {
    attributes: readAttributes(op.attributes, node.attributes, reject) as Call["attributes"],
    raw: node.attributes,
    outputCount: node.outputs.length,
    wants: (output) => Boolean(node.outputs[output]?.name),
    inferGraph: () => [],
    reject,
  };
  const types = positional(op.outputs, op.infer(namePorts(op.inputs, node.inputs.map(infoOf)), call), node.outputs.length);
  node.outputs.forEach((output, i) => {
    const type = types[i];
    if (type && output.name) output.type = { dtype: type.dtype, shape: type.shape };
  });
}
