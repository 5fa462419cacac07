import { bitsOf, type Model } from "../ir/index.ts";
import { energyCounters, estimateEnergy, type MacPrecision, measureEnergy, type Work } from "../measure/energy.ts";
import type { Measurement } from "../measure/measurement.ts";
import { type CostReport, modelCost } from "../ops/cost.ts";
import { loadModel } from "../runtime/model-file.ts";
import type { Candidate } from "./manifest.ts";
import type { Baseline } from "./measure-candidate.ts";
import type { OptimizeRun } from "./optimize-run.ts";

interface EnergyInput {
  readonly baseline: Baseline;
  readonly chosen: Candidate;
  readonly chosenPath: string;
  readonly cost: CostReport;
}

/** Energy of the original and the chosen model: from the machine's counter where it has one, otherwise an estimate that says so. */
export async function energyOf(run: OptimizeRun, { baseline, chosen, chosenPath, cost }: EnergyInput): Promise<Measurement[]> {
  const { setup } = run;
  const options = run.step("energy");
  const digest = chosen.file?.digest ?? "";
  if (energyCounters().counters.length > 0) {
    const session = await setup.executor.load(chosenPath, { threads: setup.threads });
    try {
      const feeds = baseline.feeds[0] as Baseline["feeds"][number];
      const common = { ...options, threads: setup.threads, executor: setup.executor };
      return [
        await measureEnergy(baseline.session, feeds, { ...common, digest: baseline.digest }),
        await measureEnergy(session, feeds, { ...common, digest }),
      ];
    } finally {
      await session.release();
    }
  }
  const model = await loadModel(chosenPath);
  return [
    estimateEnergy(
      "original",
      { macs: { int8: 0, float16: 0, float32: cost.total.macs }, ...traffic(cost, weightBytes(setup.model)) },
      { digest: baseline.digest },
    ),
    estimateEnergy("chosen", workOf(model), { digest }),
  ];
}

const weightBytes = (model: Model): number =>
  [...model.graph.initializers].reduce((sum, { constant }) => sum + (constant?.byteLength ?? 0), 0);

const traffic = (cost: CostReport, weights: number): Pick<Work, "weightBytes" | "activationBytes"> => ({
  weightBytes: weights,
  activationBytes: Math.max(0, cost.total.bytes - weights),
});

/** A node computes in the precision of its smallest operand; a dequantized operand counts as what it was dequantized from. */
function workOf(model: Model): Work {
  const cost = modelCost(model);
  const macs: Record<MacPrecision, number> = { int8: 0, float16: 0, float32: 0 };
  for (const [node, own] of cost.nodes) {
    const sources = node.inputs.map((input) => input?.producer?.inputs[0]?.type?.dtype ?? input?.type?.dtype);
    const direct = node.inputs.map((input) => input?.type?.dtype);
    const bits = Math.min(...[...sources, ...direct].map((dtype) => (dtype === "string" || !dtype ? 32 : bitsOf(dtype))));
    macs[bits <= 8 ? "int8" : bits <= 16 ? "float16" : "float32"] += own.macs;
  }
  return { macs, ...traffic(cost, weightBytes(model)) };
}
