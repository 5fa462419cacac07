import {
  type Attribute,
  type DataType,
  type Graph,
  isFloat,
  type Model,
  type Node,
  type Tensor,
  type TensorType,
  type Value,
} from "../../ir/index.ts";

/** What a rule may use beside its node. */
export interface UpgradeContext {
  /** A constant input for `node`: an initializer, or in the body of a function, which has none, a Constant node. */
  readonly constant: (node: Node, tensor: Tensor, role: string) => Value;
  /** Element type of a floating-point value: its own, or the only one that the model uses. */
  readonly floatType: (value: Value | undefined) => DataType | undefined;
  /** A value's type, declared or inferred. */
  readonly typeOf: (value: Value | undefined) => TensorType | undefined;
}

/**
 * Brings a node of one operator from the versions below `to` to version `to`. The node then means the same under the new version.
 * Returns a reason where that cannot be done.
 */
export interface UpgradeRule {
  readonly ops: readonly string[];
  readonly to: number;
  readonly apply: (node: Node, context: UpgradeContext) => string | undefined;
}

export const rule = (ops: readonly string[] | string, to: number, apply: UpgradeRule["apply"]): UpgradeRule => ({
  ops: typeof ops === "string" ? [ops] : ops,
  to,
  apply,
});

/** Takes an attribute off a node. */
export function takeAttribute(node: Node, name: string): Attribute | undefined {
  const attribute = node.attributes.get(name);
  if (attribute) node.setAttribute(name, undefined);
  return attribute;
}

export function takeInts(node: Node, name: string): readonly number[] | undefined {
  const values = node.ints(name);
  takeAttribute(node, name);
  return values;
}

/** Puts another node in the place of one; outputs keep their names and types. Returns the new node. */
export function substitute(
  node: Node,
  opType: string,
  inputs: readonly (Value | undefined)[],
  attributes: ReadonlyMap<string, Attribute> = node.attributes,
): Node {
  const graph = node.graph as Graph;
  const count = lastWanted(node) + 1;
  const outputs = node.outputs.slice(0, count).map((output) => (output.name ? graph.freshName(output.name) : ""));
  const twin = graph.node(opType, inputs, { name: node.name, outputs, before: node });
  for (const [name, attribute] of attributes) twin.setAttribute(name, attribute);
  twin.docString = node.docString;
  twin.outputs.forEach((output, i) => {
    takeOver(node.outputs[i] as Value, output);
  });
  graph.remove(node);
  return twin;
}

const lastWanted = (node: Node): number => node.outputs.findLastIndex((output) => output.uses.size > 0 || output.isGraphOutput);

/** Every reader of `from` reads `to`, under the old name. */
export function takeOver(from: Value, to: Value): void {
  if (!from.name) return;
  const { name, graph } = from;
  to.type ??= from.type;
  graph.replaceAllUses(from, to);
  if (to.name === name) return; // it was a graph output
  graph.rename(from, graph.freshName(`${name}_old`));
  graph.rename(to, name);
}

/** Whether anything reads one of the node's outputs from `first` on. */
export const wantsFrom = (node: Node, first: number): boolean => lastWanted(node) >= first;

/** The constant that an input is, if it is one. */
export const constantOf = (value: Value | undefined): Tensor | undefined => {
  if (value?.constant) return value.constant;
  const attribute = value?.producer?.opType === "Constant" ? value.producer.attributes.get("value") : undefined;
  return attribute?.type === "tensor" ? attribute.value : undefined;
};

/** The only floating-point type among a model's inputs and initializers. */
export function soleFloatType(model: Model): DataType | undefined {
  const found = new Set<DataType>();
  for (const value of [...model.graph.inputs, ...model.graph.initializers])
    if (value.type && isFloat(value.type.dtype)) found.add(value.type.dtype);
  return found.size === 1 ? [...found][0] : undefined;
}
