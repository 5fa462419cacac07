import type { Model } from "../../ir/index.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import type { ActivationStatistics } from "../../passes/quantize/statistics.ts";
import type { QuantizeOptions } from "./quantized.ts";
import type { MeasuredChoice } from "./ranges.ts";

/** One way to quantize a model, complete: the static pass on `model` with these gives the integer model. */
export interface Recipe {
  readonly name: string;
  /** The simplified model, or a copy with equalized channels. */
  readonly model: Model;
  readonly statistics: ReadonlyMap<string, ActivationStatistics>;
  readonly choices: QuantizationChoices;
  readonly options: QuantizeOptions;
  readonly measured: readonly MeasuredChoice[];
}
