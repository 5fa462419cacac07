import type { Model, PreparedSample } from "../ir/index.ts";
import { collectReference } from "../measure/accuracy.ts";
import { measureProcess } from "../measure/memory.ts";
import { type OpProfile, profileModel } from "../measure/profile.ts";
import type { CostReport } from "../ops/cost.ts";
import { runPass } from "../passes/manager.ts";
import { valuesToObserve } from "../passes/quantize/static.ts";
import { simplify } from "../passes/simplify/index.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import { fileBytes } from "../runtime/model-file.ts";
import type { RunOptions } from "../util/progress.ts";
import { mainMetric } from "./accuracy.ts";
import { type Budget, dropOf, violations } from "./budget.ts";
import { type CandidateSource, dynamicCandidate, float16Candidate, staticCandidate, staticChoices } from "./candidates.ts";
import { describeModel, layersOf } from "./describe-model.ts";
import { energyOf } from "./energy.ts";
import type { Candidate, Manifest } from "./manifest.ts";
import { accuracyOf, type Baseline, circumstances } from "./measure-candidate.ts";
import { mixedCandidates } from "./mixed.ts";
import { observe } from "./observe.ts";
import { OptimizeRun, runKeyOf } from "./optimize-run.ts";
import { measureSensitivity } from "./sensitivity.ts";
import { openSetup, type Setup, type SetupRequest } from "./setup.ts";
import { toolVersion } from "./tool-version.ts";
import { Workspace } from "./workspace.ts";

export interface OptimizeRequest extends SetupRequest {
  /** Folder for the results. */
  readonly out: string;
  /** Default: at most 1 point (or unit of the main metric). */
  readonly maxDrop?: number | undefined;
  readonly maxSizeBytes?: number | undefined;
  readonly maxLatencyMs?: number | undefined;
  /** No new candidate is begun after this long. */
  readonly timeBudgetMs?: number | undefined;
  /** Default 100. */
  readonly calibrationSamples?: number | undefined;
  /** Go on with an interrupted run in the same folder. */
  readonly resume?: boolean | undefined;
  /** Command line to print in the manifest. */
  readonly command?: string | undefined;
}

/**
 * The main job: measures the model, tries the compressions cheapest first, measures each in the target's runtime, and leaves the best in
 * `out` at every moment. Abort by `options.signal`: the manifest then says "interrupted" and `resume` goes on.
 */
export async function optimize(request: OptimizeRequest, options: RunOptions = {}): Promise<Manifest> {
  const workspace = await Workspace.open(request.out);
  const setup = await openSetup(request, options);
  const budget: Budget = {
    maxDrop: request.maxDrop ?? 1,
    maxSizeBytes: request.maxSizeBytes ?? null,
    maxLatencyMs: request.maxLatencyMs ?? null,
  };
  const manifest = await emptyManifest(setup, request, budget);
  const found = request.resume ? await workspace.readManifest() : undefined;
  const previous = found?.runKey === manifest.runKey ? found : undefined;
  if (previous?.status === "done") return previous;
  if (request.resume && !previous)
    manifest.warnings.push("There was nothing to resume: no interrupted run of the same model, data and options.");
  const run = new OptimizeRun({
    setup,
    workspace,
    budget,
    manifest,
    previous,
    timeBudgetMs: request.timeBudgetMs ?? null,
    options,
  });
  try {
    await search(run, request);
  } catch (error) {
    if (options.signal?.aborted && manifest.candidates.length > 0) {
      manifest.status = "interrupted";
      await run.save();
    }
    throw error;
  }
  return manifest;
}

async function search(run: OptimizeRun, request: OptimizeRequest): Promise<void> {
  const { setup, manifest } = run;
  const simplified = await simplifiedModel(run);
  const { facts, cost } = describeModel(setup.model, simplified, { ...manifest.model });
  manifest.model = facts;
  const baseline = await measureBaseline(run);
  try {
    await run.tryCandidate(
      {
        name: "simplified",
        title: "Simplified FP32",
        steps: [],
        build: async () => ({ model: simplified, notes: [{ pass: "simplify", subject: "", kind: "did", message: "" }] }),
      },
      simplified,
      baseline,
    );
    const source = await calibrate(run, simplified, request.calibrationSamples ?? 100);
    await run.tryCandidate(dynamicCandidate(source, false), simplified, baseline);
    await run.tryCandidate(float16Candidate(source), simplified, baseline);
    const statics: Candidate[] = [];
    for (const choice of staticChoices) {
      const candidate = await run.tryCandidate(staticCandidate(source, choice), simplified, baseline);
      if (candidate) statics.push(candidate);
    }
    await refine(run, { simplified, baseline, source, statics });
    await conclude(run, { simplified, cost, baseline });
  } finally {
    await baseline.session.release();
  }
}

async function simplifiedModel(run: OptimizeRun): Promise<Model> {
  run.step("simplify");
  const model = run.setup.model.clone();
  await runPass(simplify, model, {}, ortEvaluate);
  return model;
}

async function measureBaseline(run: OptimizeRun): Promise<Baseline> {
  const { setup, manifest } = run;
  const options = run.step("baseline");
  const session = await setup.executor.load(setup.request.modelPath, { threads: setup.threads });
  const result = await collectReference(
    {
      ...circumstances(setup, setup.digest),
      session,
      samples: setup.samples("selection", options),
      task: setup.task,
      bootstrap: { seed: setup.seed },
    },
    options,
  );
  const feeds = [];
  for await (const sample of setup.samples("selection", { limit: 4 })) feeds.push(sample.feeds);
  manifest.data.selection = result.n;
  manifest.warnings.push(...result.warnings);
  const accuracy = result.measurements[0] ?? null;
  manifest.data.metric = accuracy?.metric ?? "agreement with the original";
  manifest.data.metricUnit = accuracy?.unit ?? "%";
  const file = await run.workspace.saveCandidate("baseline", setup.model);
  await run.add({
    name: "baseline",
    title: "Original FP32",
    steps: [],
    file: { ...file, bytes: manifest.model.bytes },
    accuracy,
    accuracyChange: null,
    others: result.measurements.slice(1),
    latency: null,
    latencyP95: null,
    latencyRatio: null,
    latencyVerdict: null,
    outcome: "baseline",
    reason: "",
    notes: [],
  });
  return { session, digest: setup.digest, result, reference: result.reference, feeds };
}

async function calibrate(run: OptimizeRun, simplified: Model, limit: number): Promise<CandidateSource> {
  const { setup, manifest } = run;
  const options = run.step("calibrate");
  const row = setup.target.quantization;
  const samples = setup.samples("calibration", { ...options, limit });
  const statistics = await observe(simplified, valuesToObserve(simplified, row), samples, {
    ...options,
    executor: setup.executor,
    threads: 2,
    expected: limit,
  });
  manifest.data.calibration = [...statistics.values()][0]?.samples ?? 0;
  return { row, statistics };
}

interface Refinement {
  readonly simplified: Model;
  readonly baseline: Baseline;
  readonly source: CandidateSource;
  readonly statics: readonly Candidate[];
}

/** Finds the nodes that quantization hurts most and puts the worst back to float, more and more, until the budget is kept. */
async function refine(run: OptimizeRun, { simplified, baseline, source, statics }: Refinement): Promise<void> {
  const { setup, manifest, budget } = run;
  const usable = statics.filter(({ outcome }) => outcome !== "failed");
  const best = [...usable].sort((a, b) => dropOf(a) - dropOf(b))[0];
  if (!best || run.outOfTime) return;
  const choice = staticChoices[statics.indexOf(best)];
  if (!choice) return;
  const options = run.step("sensitivity");
  const samples: PreparedSample[] = [];
  for await (const sample of setup.samples("calibration", { limit: 8 })) samples.push(sample);
  const timeMs = Math.min(60_000, run.millisecondsLeft);
  manifest.sensitivity = await measureSensitivity(simplified, source, {
    ...options,
    executor: setup.executor,
    samples,
    run: setup.task.run,
    choice,
    timeMs,
  });
  await run.save();
  const met = violations(best, { ...budget, maxLatencyMs: null, maxSizeBytes: null }).length === 0;
  for (const plan of mixedCandidates(source, choice, manifest.sensitivity, met)) {
    const candidate = await run.tryCandidate(plan, simplified, baseline);
    if (!candidate || violations(candidate, { ...budget, maxLatencyMs: null, maxSizeBytes: null }).length === 0) break;
  }
}

interface Conclusion {
  readonly simplified: Model;
  readonly cost: CostReport;
  readonly baseline: Baseline;
}

/** The numbers that no choice has seen, and what only the winner is asked for. */
async function conclude(run: OptimizeRun, { simplified, cost, baseline }: Conclusion): Promise<void> {
  const { setup, manifest, workspace } = run;
  const { chosen } = await run.settle();
  const chosenPath = workspace.path("model.onnx");
  await confirm(run, chosen, chosenPath, baseline);
  const feeds = baseline.feeds[0] as Baseline["feeds"][number];
  const profile = await profileOf(run, feeds);
  manifest.layers = layersOf(simplified.graph, cost, profile);
  manifest.energy = await energyOf(run, { baseline, chosen, chosenPath, cost });
  manifest.memory = await memoryOf(run, chosen, chosenPath, feeds);
  await publishPareto(run);
  manifest.status = "done";
  await run.save();
}

async function confirm(run: OptimizeRun, chosen: Candidate, chosenPath: string, baseline: Baseline): Promise<void> {
  const { setup, manifest } = run;
  const options = run.step("final samples");
  const before = await collectReference(
    {
      ...circumstances(setup, setup.digest),
      session: baseline.session,
      samples: setup.samples("final", options),
      task: setup.task,
      bootstrap: { seed: setup.seed },
    },
    options,
  );
  manifest.data.final = before.n;
  const session = await setup.executor.load(chosenPath, { threads: setup.threads });
  try {
    const digest = chosen.file?.digest ?? "";
    const after = await accuracyOf(setup, session, digest, setup.samples("final", options), before.reference, options);
    const main = mainMetric(before, after, setup.seed);
    manifest.final = {
      baseline: [...before.measurements],
      chosen: [main.accuracy, main.change, ...main.others].filter((m) => m !== null),
    };
    judgeFinal(run, main.change?.value);
  } finally {
    await session.release();
  }
}

/** The budget is judged on the final samples; those of the selection only chose. */
function judgeFinal(run: OptimizeRun, change: number | undefined): void {
  const { manifest, budget } = run;
  if (change === undefined || budget.maxDrop === null || -change <= budget.maxDrop + 1e-9) return;
  manifest.verdict.budgetMet = false;
  manifest.verdict.reasons.push(
    `On the ${manifest.data.final} final samples, which no choice has seen, it loses ${(-change).toFixed(2)}, more than ${budget.maxDrop}.`,
  );
}

async function profileOf(run: OptimizeRun, feeds: Baseline["feeds"][number]): Promise<OpProfile | undefined> {
  if (run.setup.executor.name !== "ort-node") return undefined;
  const simplifiedFile = run.manifest.candidates.find(({ name }) => name === "simplified")?.file;
  if (!simplifiedFile) return undefined;
  return profileModel(run.workspace.path(simplifiedFile.path), feeds, {
    ...run.step("profile"),
    threads: run.setup.threads,
    optimization: "basic",
  });
}

async function memoryOf(
  run: OptimizeRun,
  chosen: Candidate,
  chosenPath: string,
  feeds: Baseline["feeds"][number],
): Promise<Manifest["memory"]> {
  const { setup } = run;
  const options = run.step("memory");
  const executorName = setup.target.executor;
  const all: Manifest["memory"] = [];
  const subjects = chosen.name === "baseline" ? [] : [{ path: chosenPath, digest: chosen.file?.digest ?? "" }];
  for (const { path, digest } of [{ path: setup.request.modelPath, digest: setup.digest }, ...subjects]) {
    const measured = await measureProcess(path, feeds, {
      ...options,
      executorName,
      threads: setup.threads,
      digest,
      processes: 3,
    });
    all.push(...Object.values(measured).filter((m) => m !== undefined));
  }
  return all;
}

/** Pareto files go beside the chosen one; the folder of candidates goes. */
async function publishPareto(run: OptimizeRun): Promise<void> {
  const { manifest, workspace } = run;
  for (const candidate of manifest.candidates) {
    if (!candidate.file) continue;
    if (candidate.name === manifest.chosen) candidate.file = manifest.files[0] ?? null;
    else if (candidate.name === "baseline")
      candidate.file = {
        path: manifest.model.path,
        bytes: manifest.model.bytes,
        digest: manifest.model.digest,
        role: "original",
      };
    else if (manifest.pareto.includes(candidate.name)) {
      candidate.file = { ...(await workspace.publish(candidate.file, `${candidate.name}.onnx`)), role: "pareto" };
      manifest.files.push(candidate.file);
    } else candidate.file = { ...candidate.file, path: "", role: "not kept" };
  }
  await workspace.removeCandidates();
}

async function emptyManifest(setup: Setup, request: OptimizeRequest, budget: Budget): Promise<Manifest> {
  const { dataset, target, device, digest } = setup;
  const bytes = await fileBytes(request.modelPath);
  const data = {
    path: request.data.path,
    options: request.data.options ?? {},
    preprocess: setup.preprocess,
    task: setup.task.name,
    limit: request.limit ?? null,
  };
  return {
    schema: "edgewright/manifest@1",
    tool: { name: "edgewright", version: toolVersion() },
    createdAt: new Date().toISOString(),
    runKey: runKeyOf({
      tool: toolVersion,
      digest,
      data,
      target: target.name,
      threads: setup.threads,
      seed: setup.seed,
      budget,
      calibration: request.calibrationSamples ?? 100,
    }),
    status: "running",
    command: request.command ?? "",
    model: {
      path: request.modelPath,
      bytes,
      digest,
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
      path: request.data.path,
      summary: dataset.summary,
      task: setup.task.name,
      metric: "",
      metricUnit: "",
      preprocess: { name: setup.preprocessName, ...setup.preprocess },
      calibration: 0,
      selection: 0,
      final: 0,
      seed: setup.seed,
    },
    budget: { ...budget, timeBudgetMs: request.timeBudgetMs ?? null },
    device: device.summary,
    versions: { node: process.versions.node, [setup.executor.name]: setup.executor.version },
    candidates: [],
    chosen: null,
    pareto: [],
    verdict: { budgetMet: false, recommendation: "", reasons: [] },
    final: null,
    memory: [],
    energy: [],
    sensitivity: [],
    layers: [],
    files: [],
    wallSeconds: 0,
    warnings: [
      ...setup.warnings,
      ...(setup.measuredHere
        ? []
        : [`Latency was measured on this machine (${device.cpu}), not on ${target.name}: take the ratios as a hint only.`]),
    ],
  };
}
