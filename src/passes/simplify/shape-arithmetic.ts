import { allGraphs, bitsOf, type Graph, isInteger, type Model, type Tensor, tensorOf } from "../../ir/index.ts";
import type { TensorInfo } from "../../ops/index.ts";
import { canReplace, replaceValue } from "./edit.ts";

// Shape -> Gather -> Mul -> Concat ... of known extents is a constant: shape inference has already computed its elements.

/** Puts constants in the place of computed values whose elements are known; returns the names of the values. */
export function foldShapeArithmetic(model: Model, info: (value: Graph["inputs"][number]) => TensorInfo | undefined): string[] {
  const folded: string[] = [];
  for (const graph of allGraphs(model.graph)) {
    for (const node of graph.nodes) {
      const { output } = node;
      if (node.outputs.length !== 1 || output.uses.size === 0) continue;
      const tensor = knownTensor(info(output));
      if (!tensor) continue;
      const name = output.name;
      const constant = graph.addInitializer(graph.freshName(`${name}_folded`), tensor);
      if (canReplace(output, constant) !== true) {
        graph.removeInitializer(constant);
        continue;
      }
      replaceValue(output, constant);
      folded.push(name);
    }
  }
  return folded;
}

function knownTensor(info: TensorInfo | undefined): Tensor | undefined {
  if (!info?.shape) return undefined;
  const { elements, dtype, shape } = info;
  const whole = isInteger(dtype) && bitsOf(dtype) >= 8;
  if (!elements || !(whole || dtype === "bool") || !elements.every(Number.isSafeInteger)) return undefined;
  return tensorOf(dtype, shape as number[], elements as number[]);
}
