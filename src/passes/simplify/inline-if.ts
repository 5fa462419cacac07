import { cloneNode, type Graph, type Value } from "../../ir/index.ts";
import { defineRule } from "../rewrite.ts";
import { prune } from "./edit.ts";
import { numbersOf } from "./facts.ts";

// If(true) { a } else { b } = a

export const inlineIf = defineRule({
  name: "inline-if",
  summary: "If with a constant condition: its branch takes its place",
  anchors: ["If"],
  match(node) {
    const condition = numbersOf(node.inputs[0])?.[0];
    const name = condition ? "then_branch" : "else_branch";
    const branch = [...node.subgraphs()].find(([attribute]) => attribute === name)?.[1];
    return condition !== undefined && branch ? { node, branch } : undefined;
  },
  check({ node, branch }) {
    if (branch.outputs.length !== node.outputs.length) return "the branch has another number of outputs";
    return [...branch.initializers].every((value) => value.constant && !value.sparse) || "the branch holds sparse initializers";
  },
  rewrite({ node, branch }) {
    const graph = node.graph as Graph;
    const values = new Map<Value, Value>();
    for (const value of branch.initializers)
      if (value.constant) values.set(value, graph.addInitializer(graph.freshName(value.name), value.constant));
    for (const inner of branch.nodes) {
      const copy = cloneNode(inner, graph, values);
      graph.moveBefore(copy, node);
      for (const output of copy.outputs) if (output.name) graph.rename(output, graph.freshName(output.name));
    }
    node.outputs.forEach((output, i) => {
      const result = branch.outputs[i] as Value;
      if (output.name) graph.replaceAllUses(output, values.get(result) ?? result);
    });
    prune(node);
  },
});
