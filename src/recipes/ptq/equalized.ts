import type { Model } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { type EqualizeOptions, equalizablePairs, equalize } from "../../passes/quantize/equalize.ts";
import { planQuantization } from "../../passes/quantize/plan.ts";
import { channelMaxima } from "./channel-statistics.ts";
import type { PtqContext } from "./context.ts";

/** A copy with channels brought closer to each other; undefined where no channel can be scaled. The copy wants statistics of its own. */
export async function equalizedModel(
  simplified: Model,
  context: PtqContext,
  options: Omit<EqualizeOptions, "maxima">,
): Promise<Model | undefined> {
  const model = simplified.clone();
  inferShapes(model);
  const pairs = equalizablePairs(model, planQuantization(model, context.row));
  if (pairs.length === 0) return undefined;
  const points = pairs.map(({ value, axis }) => ({ output: value.name, axis }));
  const maxima = await channelMaxima(model, points, context);
  const changed = equalize(pairs, {
    ...options,
    maxima: new Map(points.map(({ output }, i) => [output, maxima[i] as Float64Array])),
  });
  return changed > 0 ? model : undefined;
}
