import { type Graph, type Model, type Node, tensorOf, type Value } from "../../../ir/index.ts";
import { foldScaleAndBias } from "../../simplify/fold-scale-and-bias.ts";

/**
 * Divides the input of `readers` by `scales` [columns]: by what makes it (LayerNormalization, say), where only they read it, else by a
 * Mul if `multiply` allows one. `fixed` are nodes whose weights are being stored and must not change. Returns where the factor went;
 * undefined where nothing was changed.
 */
export function scaleInput(
  model: Model,
  input: Value,
  readers: ReadonlySet<Node>,
  scales: Float64Array,
  { fixed, multiply }: { readonly fixed: ReadonlySet<Node>; readonly multiply: boolean },
): "folded" | "multiplied" | undefined {
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
  const node = graph.node("Mul", [input, factor], { outputs: [graph.freshName(`${input.name}_scaled`)], before: first });
  node.output.type = input.type;
  for (const use of uses) use.node.setInput(use.index, node.output);
  const context = { model, info: () => undefined };
  const match = only && input.producer && !fixed.has(input.producer) ? foldScaleAndBias.match(node, context) : undefined;
  if (match !== undefined && foldScaleAndBias.check?.(match, context) === true) {
    foldScaleAndBias.rewrite(match, context);
    return "folded";
  }
  if (multiply) return "multiplied";
  for (const use of uses) use.node.setInput(use.index, input);
  graph.remove(node);
  graph.removeInitializer(factor);
  return undefined;
}
