import { createHash } from "node:crypto";
import type { Model } from "../ir/index.ts";
import type { Note } from "../passes/define.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { type Budget, type Choice, choose, dropOf, paretoSet, ratioOf, violations } from "./budget.ts";
import type { CandidatePlan } from "./candidates.ts";
import type { Candidate, Manifest } from "./manifest.ts";
import { type Baseline, measureCandidate } from "./measure-candidate.ts";
import type { Setup } from "./setup.ts";
import { type Workspace, writeWhole } from "./workspace.ts";

/** Time each candidate is timed beside the baseline. */
const timingMs = 2000;

export const runKeyOf = (parts: unknown): string => createHash("sha256").update(JSON.stringify(parts)).digest("hex");

/** The state of one optimize run: the manifest that grows, and what must be on disk after every step. */
export class OptimizeRun {
  readonly setup: Setup;
  readonly workspace: Workspace;
  readonly budget: Budget;
  readonly manifest: Manifest;
  readonly options: RunOptions;
  readonly #previous: Manifest | undefined;
  readonly #deadline: number;
  readonly #started = performance.now();
  readonly #earlierSeconds: number;
  #published: string | undefined;

  constructor(init: {
    setup: Setup;
    workspace: Workspace;
    budget: Budget;
    manifest: Manifest;
    previous: Manifest | undefined;
    timeBudgetMs: number | null;
    options: RunOptions;
  }) {
    this.setup = init.setup;
    this.workspace = init.workspace;
    this.budget = init.budget;
    this.manifest = init.manifest;
    this.options = init.options;
    this.#previous = init.previous;
    this.#earlierSeconds = init.previous?.wallSeconds ?? 0;
    this.#deadline = init.timeBudgetMs === null ? Number.POSITIVE_INFINITY : this.#started + init.timeBudgetMs;
  }

  get outOfTime(): boolean {
    return performance.now() > this.#deadline;
  }

  get millisecondsLeft(): number {
    return this.#deadline - performance.now();
  }

  /** Options of a step, with its name put before the library's own. */
  step(name: string): RunOptions {
    const { signal, onProgress } = this.options;
    signal?.throwIfAborted();
    onProgress?.({ step: name, done: 0 });
    return { signal, onProgress: onProgress && ((event) => onProgress({ ...event, step: `${name}: ${event.step}` })) };
  }

  /** A candidate that an interrupted run has measured already, when its file is still the same. */
  async #earlier(name: string): Promise<Candidate | undefined> {
    const found = this.#previous?.candidates.find((candidate) => candidate.name === name);
    if (!found) return undefined;
    if (found.outcome === "failed") return found;
    return found.file && (await this.workspace.holds(found.file)) ? found : undefined;
  }

  /** Builds, saves and measures a candidate; a failure is recorded, never fatal. Undefined when time is up. */
  async tryCandidate(plan: CandidatePlan, simplified: Model, baseline: Baseline): Promise<Candidate | undefined> {
    const earlier = await this.#earlier(plan.name);
    if (earlier) return this.add(earlier);
    if (this.outOfTime) {
      this.manifest.warnings.push(`The time budget was used up before "${plan.title}".`);
      return undefined;
    }
    const options = this.step(plan.title);
    try {
      const { model, notes } = await plan.build(simplified);
      if (!notes.some(({ kind }) => kind === "did")) return this.add(unchanged(plan, notes));
      const file = await this.workspace.saveCandidate(plan.name, model);
      const figures = await measureCandidate(
        this.setup,
        baseline,
        { path: this.workspace.path(file.path), digest: file.digest },
        { ...options, timeMs: timingMs },
      );
      return this.add({ ...frame(plan, notes), file, ...figures, outcome: "rejected", reason: "" });
    } catch (error) {
      this.options.signal?.throwIfAborted();
      if (!(error instanceof EdgewrightError)) throw error;
      return this.add({ ...frame(plan, []), outcome: "failed", reason: error.message });
    }
  }

  /** Records a candidate, decides anew, and brings the best so far to disk. */
  async add(candidate: Candidate): Promise<Candidate> {
    this.manifest.candidates.push(candidate);
    await this.settle();
    return candidate;
  }

  /** Outcomes of all candidates as things stand; model.onnx is the best so far. */
  async settle(): Promise<Choice> {
    const { manifest } = this;
    const choice = choose(manifest.candidates, this.budget);
    const pareto = paretoSet(manifest.candidates);
    manifest.chosen = choice.chosen.name;
    manifest.pareto = pareto;
    for (const candidate of manifest.candidates)
      if (candidate.outcome !== "failed") decide(candidate, choice, pareto, this.budget);
    manifest.verdict = {
      budgetMet: choice.budgetMet,
      recommendation: recommendation(choice.chosen),
      reasons: [...choice.reasons],
    };
    if (choice.chosen.file && this.#published !== choice.chosen.name) {
      const file = await this.workspace.publish(choice.chosen.file, "model.onnx");
      manifest.files = [{ ...file, role: "chosen" }];
      this.#published = choice.chosen.name;
    }
    await this.save();
    return choice;
  }

  /** The page for people; charts are drawn only now, because their library takes a while to load. */
  async report(): Promise<void> {
    const { renderReport } = await import("./report/page.ts");
    await writeWhole(this.workspace.path("report.html"), renderReport(this.manifest));
  }

  async save(): Promise<void> {
    this.manifest.data.heldOut = this.setup.splits.heldOut;
    for (const warning of this.setup.warnings)
      if (!this.manifest.warnings.includes(warning)) this.manifest.warnings.push(warning);
    this.manifest.wallSeconds = this.#earlierSeconds + (performance.now() - this.#started) / 1000;
    await this.workspace.writeManifest(this.manifest);
  }
}

const frame = (plan: CandidatePlan, notes: readonly Note[]) => ({
  name: plan.name,
  title: plan.title,
  steps: [{ pass: "simplify", params: {} }, ...plan.steps],
  file: null,
  accuracy: null,
  accuracyChange: null,
  others: [],
  latency: null,
  latencyP95: null,
  latencyRatio: null,
  latencyVerdict: null,
  notes: [...notes],
});

/** A pass that changed nothing is said out loud: a silent no-op would look like a result. */
const unchanged = (plan: CandidatePlan, notes: readonly Note[]): Candidate => ({
  ...frame(plan, notes),
  outcome: "failed",
  reason: `It changes nothing in this model: ${notes[0]?.message ?? "no node can take part"}.`,
});

function decide(candidate: Candidate, choice: Choice, pareto: readonly string[], budget: Budget): void {
  const isChosen = candidate === choice.chosen;
  candidate.outcome = isChosen
    ? "chosen"
    : candidate.name === "baseline"
      ? "baseline"
      : pareto.includes(candidate.name)
        ? "pareto"
        : "rejected";
  candidate.reason = isChosen ? choice.reasons.join(" ") : whyNot(candidate, choice.chosen, budget);
}

function whyNot(candidate: Candidate, chosen: Candidate, budget: Budget): string {
  const broken = violations(candidate, budget);
  if (broken.length > 0) return `It ${broken.join(" and ")}.`;
  if (candidate.name === "baseline") return "The original.";
  if (candidate.latencyVerdict === "slower")
    return `It is slower than the original (time ratio ${ratioOf(candidate).toFixed(2)}).`;
  if (candidate.latencyVerdict === "not distinguishable" && candidate.name !== "simplified")
    return `It is not measurably faster than the original (time ratio ${ratioOf(candidate).toFixed(2)}).`;
  if (ratioOf(candidate) > 1.03 * ratioOf(chosen)) return `It keeps the budget, but "${chosen.title}" is faster.`;
  if (dropOf(candidate) > dropOf(chosen)) return `It is as fast as "${chosen.title}" but less accurate.`;
  return `It is as good as "${chosen.title}" within what was measured.`;
}

const signed = (x: number): string => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;

/** One sentence with the numbers that matter. */
function recommendation(chosen: Candidate): string {
  if (chosen.name === "baseline" || chosen.name === "simplified")
    return `Ship the float model (${chosen.title}): no compressed candidate is both within the budget and faster on this target.`;
  const change = chosen.accuracyChange;
  const interval = change?.interval ? ` [${signed(change.interval[0])}, ${signed(change.interval[1])}]` : "";
  const accuracy = change ? `, ${signed(change.value)}${change.unit === "%" ? " points" : ` ${change.unit}`}${interval}` : "";
  return `Ship model.onnx (${chosen.title}): ${(1 / ratioOf(chosen)).toFixed(2)}x the original's speed${accuracy}.`;
}
