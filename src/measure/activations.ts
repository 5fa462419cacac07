import type { Model, Node } from "../ir/index.ts";
import { modelCost } from "../ops/cost.ts";
import type { TensorInfo } from "../ops/define.ts";
import { type ActivationMemory, activationMemory } from "../ops/liveness.ts";
import { staticShapes } from "../ops/static-shapes.ts";
import { isConversion, isNarrow, storedOutput, type WorkContext } from "./work.ts";

/** A node that a runtime fuses away; `stored` is how its input is kept from then on. */
interface Fused {
  readonly node: Node;
  readonly stored: TensorInfo | undefined;
}

function fusedNodes(model: Model, context: WorkContext): Fused[] {
  const fused: Fused[] = [];
  for (const node of model.graph.nodes) {
    const source = node.inputs[0];
    if (!source || node.output.isGraphOutput || !isConversion(context, node)) continue;
    // a dynamic quantization also makes the scale that others compute with
    if (node.outputs.slice(1).some((output) => output.uses.size > 0 || output.isGraphOutput)) continue;
    const from = context.shapes.info.get(source);
    if (from && isNarrow(from.dtype)) fused.push({ node, stored: from });
    else if (source.producer && storedOutput(context, source) !== source)
      fused.push({ node, stored: context.shapes.info.get(storedOutput(context, source)) });
  }
  return fused;
}

/**
 * Activation memory as a runtime that fuses quantize and dequantize nodes needs it: what lies between two integer kernels is stored as
 * integers, once. The model is left alone.
 */
export function fusedActivationMemory(
  model: Model,
  inputShapes: Readonly<Record<string, readonly number[]>> = {},
): ActivationMemory {
  const copy = model.clone();
  const shapes = staticShapes(copy, inputShapes);
  // decided with all nodes in place, then carried out
  for (const { node, stored } of fusedNodes(copy, { shapes, cost: modelCost(copy, shapes) })) {
    const source = node.inputs[0];
    if (!source) continue;
    if (stored && !source.constant) shapes.info.set(source, stored);
    copy.graph.replaceAllUses(node.output, source);
    copy.graph.remove(node);
  }
  return activationMemory(copy, shapes);
}
