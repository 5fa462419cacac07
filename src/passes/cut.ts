import type { Model, TensorType, Value } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";

/** Part of a model: what it reads, with types that replace the known ones, and what it gives. */
export interface Cut {
  /** Values that become inputs; absent: the model's own inputs, as far as they are needed. */
  readonly inputs?: readonly { readonly name: string; readonly type?: TensorType }[];
  readonly outputs: readonly string[];
}

/** Values of the main graph by name: inputs, initializers and everything nodes make. */
export function valuesByName({ graph }: Model): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const value of [...graph.inputs, ...graph.initializers]) values.set(value.name, value);
  for (const node of graph.nodes) for (const output of node.outputs) if (output.name) values.set(output.name, output);
  return values;
}

/** A copy that holds only what lies between the given values. */
export function cutModel(model: Model, { inputs, outputs }: Cut): Model {
  const part = model.clone();
  const { graph } = part;
  const values = valuesByName(part);
  const named = (name: string): Value => {
    const value = values.get(name);
    if (value) return value;
    throw new EdgewrightError("CUT_UNKNOWN", `The model has no value "${name}" to cut at.`, { subject: name });
  };
  outputs.forEach(named);
  graph.outputs.length = 0;
  for (const { name, type } of inputs ?? []) {
    const value = named(name);
    if (value.isGraphInput) {
      if (type) value.type = type;
      continue;
    }
    graph.rename(value, graph.freshName(`${name}_before_cut`));
    const input = graph.addInput(name, type ?? value.type);
    graph.replaceAllUses(value, input);
    values.set(name, input);
  }
  for (const name of outputs) graph.addOutput(named(name));
  removeDead(part);
  return part;
}

/** Drops nodes, inputs and initializers that no output needs. */
function removeDead({ graph }: Model): void {
  for (const node of [...graph.nodesReversed()])
    if (node.outputs.every((output) => output.uses.size === 0 && !output.isGraphOutput)) graph.remove(node);
  for (const value of [...graph.initializers])
    if (value.uses.size === 0 && !value.isGraphOutput && !value.isGraphInput) graph.removeInitializer(value);
  const unused = graph.inputs.filter((input) => input.uses.size === 0 && !input.isGraphOutput);
  for (const input of unused) graph.inputs.splice(graph.inputs.indexOf(input), 1);
  graph.changed();
}
