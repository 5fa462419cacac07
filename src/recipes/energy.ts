import type { Model } from "../ir/index.ts";
import { energyCounters, estimateEnergy, measureEnergy } from "../measure/energy.ts";
import type { Measurement } from "../measure/measurement.ts";
import { inferenceWork } from "../measure/work.ts";
import { atWorkingOpset } from "../measure/working-opset.ts";
import { loadModel } from "../runtime/model-file.ts";
import type { Candidate } from "./manifest.ts";
import type { Baseline } from "./measure-candidate.ts";
import type { OptimizeRun } from "./optimize-run.ts";

interface EnergyInput {
  readonly baseline: Baseline;
  readonly chosen: Candidate;
  readonly chosenPath: string;
}

/** Energy of the original and the chosen model: from the machine's counter where it has one, otherwise an estimate that says so. */
export async function energyOf(run: OptimizeRun, { baseline, chosen, chosenPath }: EnergyInput): Promise<Measurement[]> {
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
  const estimate = async (name: string, model: Model, subject: string): Promise<Measurement> =>
    estimateEnergy(name, inferenceWork(await atWorkingOpset(model)), { digest: subject });
  return [
    await estimate("original", setup.model, baseline.digest),
    await estimate("chosen", await loadModel(chosenPath), digest),
  ];
}
