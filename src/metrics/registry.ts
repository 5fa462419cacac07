import { EdgewrightError } from "../util/errors.ts";
import { auc } from "./auc.ts";
import { top1, top5 } from "./classification.ts";
import type { MetricDef, PostprocessDef } from "./define.ts";
import { f1 } from "./f1.ts";
import { agreement, cosine, klDivergence, maxAbsDifference, sqnr } from "./fidelity.ts";
import { psnr, ssim } from "./image-quality.ts";
import { map50, map5095 } from "./mean-average-precision.ts";
import { argmaxTokens, softmaxScores } from "./postprocess/scores.ts";
import { yolox } from "./postprocess/yolox.ts";
import { meanAbsoluteError, meanSquaredError } from "./regression.ts";
import { perplexity, sequenceAccuracy, tokenAccuracy, wordAccuracy } from "./tokens.ts";

// biome-ignore lint/suspicious/noExplicitAny: a registry holds definitions of every options type; parseOptions checks at the door
export type AnyMetric = MetricDef<any>;
// biome-ignore lint/suspicious/noExplicitAny: as above
export type AnyPostprocess = PostprocessDef<any>;

const byName = <D extends { readonly name: string }>(definitions: readonly D[]): ReadonlyMap<string, D> =>
  new Map(definitions.map((definition) => [definition.name, definition]));

/** Every built-in metric by name. */
export const metrics = byName<AnyMetric>([
  ...[top1, top5, f1, auc, map5095, map50, psnr, ssim, meanSquaredError, meanAbsoluteError],
  ...[tokenAccuracy, sequenceAccuracy, wordAccuracy, perplexity],
  ...[agreement, klDivergence, cosine, sqnr, maxAbsDifference],
]);

/** Every built-in post-process by name. */
export const postprocesses = byName<AnyPostprocess>([yolox, softmaxScores, argmaxTokens]);

/** Finds a definition by name, a plug-in's before the built-in ones. */
export function findDefinition<D extends { readonly name: string }>(
  kind: "metric" | "post-process",
  name: string,
  known: ReadonlyMap<string, D>,
  plugged: readonly D[] = [],
): D {
  const found = plugged.find((definition) => definition.name === name) ?? known.get(name);
  if (found) return found;
  const names = [...plugged.map((definition) => definition.name), ...known.keys()];
  throw new EdgewrightError("METRIC_UNKNOWN", `There is no ${kind} called "${name}".`, {
    subject: name,
    hint: `Known: ${names.join(", ")}. A plug-in (--plugin file.mjs) can add others.`,
  });
}
