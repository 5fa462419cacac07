import type { Model } from "../ir/index.ts";
import { collectReference } from "../measure/accuracy.ts";
import { measureProcess } from "../measure/memory.ts";
import { type OpProfile, profileModel } from "../measure/profile.ts";
import type { CostReport } from "../ops/cost.ts";
import { quantizeStatic } from "../passes/quantize/static.ts";
import { loadModel } from "../runtime/model-file.ts";
import { mainMetric } from "./accuracy.ts";
import { coverageLine, measureCoverage } from "./coverage.ts";
import { layersOf } from "./describe-model.ts";
import { energyOf } from "./energy.ts";
import type { Candidate, Manifest } from "./manifest.ts";
import { accuracyOf, type Baseline, circumstances } from "./measure-candidate.ts";
import type { OptimizeRun } from "./optimize-run.ts";
import { loadWithoutVnni } from "./saturation.ts";

export interface Conclusion {
  readonly simplified: Model;
  readonly cost: CostReport;
  readonly baseline: Baseline;
}

/** The numbers that no choice has seen, and what only the winner is asked for. */
export async function conclude(run: OptimizeRun, { simplified, cost, baseline }: Conclusion): Promise<void> {
  const { manifest, workspace } = run;
  const { chosen } = await run.settle();
  const chosenPath = workspace.path("model.onnx");
  await confirm(run, chosen, chosenPath, baseline);
  const feeds = baseline.feeds[0] as Baseline["feeds"][number];
  const profile = await profileOf(run, feeds);
  manifest.layers = layersOf(simplified.graph, cost, profile);
  manifest.energy = await energyOf(run, { baseline, chosen, chosenPath });
  manifest.coverage = await coverageIn(run, simplified, chosen, chosenPath);
  manifest.withoutVnni = await withoutVnni(run, chosen, chosenPath);
  manifest.memory = await memoryOf(run, chosen, chosenPath, feeds);
  await publishPareto(run);
  manifest.status = "done";
  await run.save();
  await run.report();
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
    `On the ${manifest.data.final} final samples it loses ${(-change).toFixed(2)}, more than ${budget.maxDrop}.`,
  );
}

const isInteger = (chosen: Candidate): boolean => chosen.steps.some(({ pass }) => pass === quantizeStatic.name);

async function coverageIn(
  run: OptimizeRun,
  simplified: Model,
  chosen: Candidate,
  chosenPath: string,
): Promise<Manifest["coverage"]> {
  if (!isInteger(chosen)) return null;
  const row = run.setup.target.quantization;
  const { coverage, warnings } = await measureCoverage(
    simplified,
    await loadModel(chosenPath),
    chosen.notes,
    row,
    run.step("coverage"),
  );
  return { line: coverageLine(coverage.summary), unfused: [...warnings] };
}

/** Samples of the simulation, which computes the saturating layers by itself and is slow. */
const simulatedSamples = 64;

/** What the chosen integer file gives on x86-64 without VNNI, beside what it gives with it, on the same final samples. */
async function withoutVnni(run: OptimizeRun, chosen: Candidate, chosenPath: string): Promise<Manifest["withoutVnni"]> {
  const { setup } = run;
  if (!setup.target.saturates || !isInteger(chosen) || run.outOfTime) return null;
  const options = run.step("without VNNI");
  const session = await setup.executor.load(chosenPath, { threads: setup.threads });
  const simulated = await loadWithoutVnni(await loadModel(chosenPath), { executor: setup.executor, threads: setup.threads });
  try {
    const digest = chosen.file?.digest ?? "";
    const samples = () => setup.samples("final", { ...options, limit: simulatedSamples });
    const usual = await accuracyOf(setup, session, digest, samples(), undefined, options);
    const other = await accuracyOf(setup, simulated, digest, samples(), undefined, options);
    const [before, after] = [usual.measurements[0], other.measurements[0]];
    if (!before || !after) return null;
    return { metric: before.metric, with: before.value, without: after.value, samples: usual.n };
  } finally {
    await session.release();
    await simulated.release();
  }
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
  for (const { path, digest } of [{ path: setup.modelPath, digest: setup.digest }, ...subjects]) {
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
