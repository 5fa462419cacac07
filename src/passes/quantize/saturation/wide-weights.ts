import type { Model } from "../../../ir/index.ts";
import type { QuantizationRow } from "../row.ts";
import type { WeightChoice } from "../weights.ts";
import { rechosen, type SafeWeightOptions } from "./safe-scales.ts";

/**
 * Weights for static quantization whose sums cannot saturate because kernels of two uint8 operands compute them: the same integers
 * around 128, so exactly the numbers that processors with VNNI give. Slower than int8. Nodes whose kernels do not take uint8 stay as
 * they are.
 */
export function weightsAround128(model: Model, row: QuantizationRow, options: SafeWeightOptions = {}): Map<string, WeightChoice> {
  const dtype = row.weight.wideDtype;
  return rechosen(model, row, options, ({ op }, _, choice) => (dtype && !op.weightDtype ? { ...choice, dtype } : undefined));
}
