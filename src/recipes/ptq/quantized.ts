import type { Model } from "../../ir/index.ts";
import { runPass } from "../../passes/manager.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import { quantizeStatic } from "../../passes/quantize/static.ts";
import { ortEvaluate } from "../../runtime/evaluate.ts";
import type { PtqContext } from "./context.ts";

/** What applies to the whole model, beside the choices per tensor. */
export interface QuantizeOptions {
  readonly exclude?: readonly string[];
  readonly weightBits?: number;
  /** Moves into each bias what rounded weights shift the mean of its layer by, from float inputs. */
  readonly biasCorrection?: boolean;
}

/** The static pass on a copy, with what was chosen. */
export async function quantized(
  simplified: Model,
  { row, statistics }: Pick<PtqContext, "row" | "statistics">,
  choices: Partial<QuantizationChoices> & { readonly method?: string; readonly percentile?: number },
  options: QuantizeOptions = {},
): Promise<Model> {
  const model = simplified.clone();
  await runPass(quantizeStatic, model, { row, statistics, ...choices, ...options }, ortEvaluate);
  return model;
}
