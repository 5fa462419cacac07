import type { Model } from "../ir/index.ts";
import { collectReference } from "../measure/accuracy.ts";
import { runPass } from "../passes/manager.ts";
import { valuesToObserve } from "../passes/quantize/static.ts";
import { simplify } from "../passes/simplify/index.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import type { RunOptions } from "../util/progress.ts";
import type { Budget } from "./budget.ts";
import {
  type CandidateSource,
  dynamicCandidate,
  float16Candidate,
  matrixShare,
  staticCandidate,
  weightOnlyCandidate,
} from "./candidates.ts";
import { conclude } from "./conclude.ts";
import { describeModel } from "./describe-model.ts";
import { realFeeds } from "./drive.ts";
import type { Manifest } from "./manifest.ts";
import { type Baseline, circumstances } from "./measure-candidate.ts";
import { observe } from "./observe.ts";
import { OptimizeRun } from "./optimize-run.ts";
import { playoff } from "./playoff.ts";
import { quantizeBest } from "./quantize-best.ts";
import type { MomentsSource } from "./quantize-weights.ts";
import { openSetup, type SetupRequest } from "./setup.ts";
import { startManifest } from "./start-manifest.ts";
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
  const manifest = await startManifest(setup, { ...budget, timeBudgetMs: request.timeBudgetMs ?? null }, request);
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
      await run.report();
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
    await quantizeMatrices(run, { simplified, baseline, source });
    await run.tryCandidate(staticCandidate(source, { method: "mse" }), simplified, baseline);
    await quantizeBest(run, { simplified, baseline, source });
    await playoff(run, baseline);
    await conclude(run, { simplified, cost, baseline });
  } finally {
    await baseline.session.release();
  }
}

/** Share of the parameters in matrices and tables from which storing these alone in few bits is worth a try. */
const mostlyMatrices = 0.3;
const momentSamples = 100;

async function quantizeMatrices(
  run: OptimizeRun,
  { simplified, baseline, source }: { simplified: Model; baseline: Baseline; source: CandidateSource },
): Promise<void> {
  const { setup } = run;
  if (matrixShare(simplified, source.row) < mostlyMatrices) return;
  const options = run.step("weights");
  const moments: MomentsSource = {
    ...options,
    executor: setup.executor,
    threads: setup.threads,
    run: setup.task.run,
    expected: momentSamples,
    samples: () => setup.samples("calibration", { ...options, limit: momentSamples }),
  };
  for (const bits of [8, 4] as const) await run.tryCandidate(weightOnlyCandidate(source, bits, moments), simplified, baseline);
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
  const session = await setup.executor.load(setup.modelPath, { threads: setup.threads });
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
  const feeds = await realFeeds(setup.task, session, setup.samples("selection", { limit: 4 }), 4);
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
    run: setup.task.run,
    expected: limit,
  });
  manifest.data.calibration = [...statistics.values()][0]?.samples ?? 0;
  return { row, statistics };
}
