import { type Graph, type Model, type Node, tensorOf, type Value } from "../../../ir/index.ts";
import { foldScaleAndBias } from "../../simplify/fold-scale-and-bias.ts";

/**
 * Divides the input of `readers` by `scales` [columns]: by what makes it (LayerNormalization, say), where only they read it, else by a
 * Mul. `fixed` are nodes whose weights are being stored and must not change. Returns where the factor went.
 */
export function scaleInput(
  model: Model,
  input: Value,
  readers: ReadonlySet<Node>,
  scales: Float64Array,
  fixed: ReadonlySet<Node>,
): "folded" | "multiplied" {
  const first = [...(input.producer?.graph ?? model.graph).nodes].find((node) => readers.has(node)) as Node;
  const graph = first.graph as Graph;
  const factors = tensorOf(
    "float32",
    [scales.length],
    Float64Array.from(scales, (scale) => 1 / scale),
  );
  const factor = graph.addInitializer(graph.freshName(`${input.name}_input_scales`), factors);
  const only = !input.isGraphOutput && [...input.uses].every(({ node }) => readers.has(node));
  const uses = [...input.uses].filter(({ node }) => readers.has(node));
  const multiply = graph.node("Mul", [input, factor], { outputs: [graph.freshName(`${input.name}_scaled`)], before: first });
  multiply.output.type = input.type;
  for (const { node, index } of uses) node.setInput(index, multiply.output);
  if (!only || !input.producer || fixed.has(input.producer)) return "multiplied";
  const context = { model, info: () => undefined };
  const match = foldScaleAndBias.match(multiply, context);
  if (match === undefined || foldScaleAndBias.check?.(match, context) !== true) return "multiplied";
  foldScaleAndBias.rewrite(match, context);
  return "folded";
}
