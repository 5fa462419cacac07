import type { Model, Node, Value } from "../../ir/index.ts";
import type { QuantizationRow } from "./row.ts";

/**
 * Some runtimes quantize the weights of a float node by themselves when it stands between a dequantize and a quantize node, whoever
 * decided that it should stay float. Such a node gets the row's guard after it: an op that changes nothing and that the runtime fuses
 * away, but that breaks the pattern.
 */
export function guardFloatNodes(
  model: Model,
  row: QuantizationRow,
  planned: ReadonlySet<Node>,
  dequantized: ReadonlySet<Value>,
  quantizers: ReadonlySet<Node>,
): Node[] {
  const guarded: Node[] = [];
  const { guard } = row;
  if (!guard) return guarded;
  for (const node of [...model.graph.nodes]) {
    const input = node.inputs[0];
    if (planned.has(node) || !guard.ops[node.opType] || !input || !dequantized.has(input)) continue;
    if (!leadsToQuantizer(node.output, quantizers)) continue;
    const output = node.output;
    const added = model.graph.node(guard.opType, [output], {
      name: model.graph.freshName(`${node.name || output.name}_float`),
      attributes: guard.attributes,
      ...(node.next ? { before: node.next } : {}),
    });
    added.output.type = output.type;
    for (const use of [...output.uses]) if (use.node !== added) use.node.setInput(use.index, added.output);
    guarded.push(node);
  }
  return guarded;
}

/** Whether the value's only reader is a quantize node, directly or behind single-input nodes such as Relu and Clip. */
function leadsToQuantizer(value: Value, quantizers: ReadonlySet<Node>): boolean {
  let reader = value.soleConsumer;
  for (let depth = 0; reader && depth < 3; depth++) {
    if (quantizers.has(reader)) return true;
    reader = reader.inputs.filter((input) => input && !input.constant).length === 1 ? reader.outputs[0]?.soleConsumer : undefined;
  }
  return false;
}
