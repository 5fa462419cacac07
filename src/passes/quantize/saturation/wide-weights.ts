import type { Model, Value } from "../../../ir/index.ts";
import { inferShapes } from "../../../ops/infer.ts";
import { nodeKey, planQuantization } from "../plan.ts";
import type { QuantizationRow } from "../row.ts";
import type { WeightChoice } from "../weights.ts";
import type { SafeWeightOptions } from "./safe-scales.ts";

/**
 * Weights for static quantization whose sums cannot saturate because kernels of two uint8 operands compute them: the same integers
 * around 128, so exactly the numbers that processors with VNNI give. Slower than int8. Nodes whose kernels do not take uint8 stay as
 * they are.
 */
export function weightsAround128(
  model: Model,
  row: QuantizationRow,
  { nodes, choices = new Map() }: SafeWeightOptions = {},
): Map<string, WeightChoice> {
  inferShapes(model);
  const result = new Map(choices);
  for (const plan of planQuantization(model, row).nodes.values()) {
    if (!plan.weight || plan.op.weightDtype || !row.weight.wideDtype || (nodes && !nodes.has(nodeKey(plan.node)))) continue;
    const { name } = plan.node.inputs[plan.weight.index] as Value;
    result.set(name, { ...choices.get(name), dtype: row.weight.wideDtype });
  }
  return result;
}
