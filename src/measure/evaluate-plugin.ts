import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";
import * as ir from "../ir/index.ts";
import { defineMetric, definePostprocess, meanState, ratioState, targetOf } from "../metrics/define.ts";
import { boxOverlap, detectionsOf, detectionTensor, suppress } from "../metrics/detections.ts";
import { argmax, distributionOf, outputOf, softmax } from "../metrics/outputs.ts";
import { toOriginal } from "../metrics/postprocess/geometry.ts";
import { EdgewrightError } from "../util/errors.ts";
import { seededNormal, seededRandom } from "../util/random.ts";
import type { EvaluationPlugin } from "./task.ts";

/** What a plug-in gets instead of imports: it works wherever the file lies, with the very classes that the tool uses. */
export const toolkit = {
  defineMetric,
  definePostprocess,
  meanState,
  ratioState,
  targetOf,
  outputOf,
  argmax,
  softmax,
  distributionOf,
  boxOverlap,
  suppress,
  detectionTensor,
  detectionsOf,
  toOriginal,
  tensorOf: ir.tensorOf,
  float32Tensor: ir.float32Tensor,
  fromTypedArray: ir.fromTypedArray,
  toFloat32: ir.toFloat32,
  toNumbers: ir.toNumbers,
  seededRandom,
  seededNormal,
  EdgewrightError,
} as const;
export type Toolkit = typeof toolkit;

type PluginModule = { readonly default?: unknown } & EvaluationPlugin;

/**
 * Loads a plug-in file: its default export is a plug-in, or a function (toolkit, options) that makes one; without a default export its
 * named exports are the plug-in. It runs with the rights of this process: load only files that you trust.
 */
export async function loadPlugin(path: string, options?: unknown): Promise<EvaluationPlugin> {
  if (!existsSync(path)) throw new EdgewrightError("PLUGIN_MISSING", `There is no plug-in file "${path}".`, { subject: path });
  let module: PluginModule;
  try {
    module = (await import(pathToFileURL(path).href)) as PluginModule;
  } catch (cause) {
    throw new EdgewrightError(
      "PLUGIN_LOAD",
      `The plug-in "${path}" cannot be loaded: ${cause instanceof Error ? cause.message : cause}`,
      {
        subject: path,
        cause,
      },
    );
  }
  const made: unknown =
    typeof module.default === "function" ? await module.default(toolkit, options) : (module.default ?? module);
  return checkPlugin(made, path);
}

const bad = (path: string, what: string): never => {
  throw new EdgewrightError("PLUGIN_INVALID", `The plug-in "${path}" ${what}.`, {
    subject: path,
    hint: "docs/plugins.md shows what a plug-in exports.",
  });
};

function checkPlugin(made: unknown, path: string): EvaluationPlugin {
  if (!made || typeof made !== "object") return bad(path, "gives no object");
  const plugin = made as EvaluationPlugin;
  for (const metric of plugin.metrics ?? [])
    if (!metric?.name || typeof metric.start !== "function" || !Array.isArray(metric.needs))
      bad(path, "has a metric without name, needs or start");
  for (const step of plugin.postprocess ?? [])
    if (!step?.name || typeof step.apply !== "function") bad(path, "has a post-process without name or apply");
  for (const key of ["run", "samples"] as const)
    if (plugin[key] !== undefined && typeof plugin[key] !== "function") bad(path, `exports "${key}", which is not a function`);
  if (!plugin.metrics && !plugin.postprocess && !plugin.run && !plugin.samples)
    bad(path, "exports none of metrics, postprocess, run and samples");
  return plugin;
}
