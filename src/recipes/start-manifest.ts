import { fileBytes } from "../runtime/model-file.ts";
import type { Manifest } from "./manifest.ts";
import { runKeyOf } from "./optimize-run.ts";
import type { Setup } from "./setup.ts";
import { toolVersion } from "./tool-version.ts";

/** The manifest of a run that has measured nothing yet. */
export async function startManifest(
  setup: Setup,
  budget: Manifest["budget"],
  request: { readonly command?: string | undefined; readonly calibrationSamples?: number | undefined },
): Promise<Manifest> {
  const { dataset, target, device, digest, evaluation, modelPath: path } = setup;
  const version = toolVersion();
  const settings = { ...evaluation, model: "", preprocess: setup.preprocess, calibration: request.calibrationSamples ?? null };
  const proxy = `Latency was measured on this machine (${device.cpu}), not on ${target.name}: take the ratios as a hint only.`;
  return {
    schema: "edgewright/manifest@1",
    tool: { name: "edgewright", version },
    createdAt: new Date().toISOString(),
    // the time budget may grow from one attempt to the next
    runKey: runKeyOf({ version, digest, settings, target: target.name, budget: { ...budget, timeBudgetMs: null } }),
    status: "running",
    command: request.command ?? "",
    model: {
      path,
      digest,
      bytes: await fileBytes(path),
      opset: setup.model.opset,
      nodes: setup.model.graph.nodeCount,
      parameters: 0,
      macs: null,
      peakActivationBytes: null,
      inputs: [],
      outputs: [],
    },
    target: {
      name: target.name,
      summary: target.summary,
      executor: target.executor,
      measuredHere: setup.measuredHere,
      threads: setup.threads,
    },
    data: {
      path: typeof evaluation.data === "string" ? evaluation.data : (evaluation.data?.path ?? ""),
      summary: dataset?.summary ?? "samples made by a plug-in",
      task: setup.task.name,
      metric: "",
      metricUnit: "",
      preprocess: setup.preprocess,
      calibration: 0,
      selection: 0,
      final: 0,
      heldOut: true,
      seed: setup.seed,
    },
    budget,
    device: device.summary,
    versions: { node: process.versions.node, [setup.executor.name]: setup.executor.version },
    candidates: [],
    chosen: null,
    pareto: [],
    verdict: { budgetMet: false, recommendation: "", reasons: [] },
    final: null,
    memory: [],
    energy: [],
    quantization: null,
    coverage: null,
    withoutVnni: null,
    sensitivity: [],
    layers: [],
    warnings: [...setup.warnings, ...(setup.measuredHere ? [] : [proxy])],
    files: [],
    wallSeconds: 0,
  };
}
