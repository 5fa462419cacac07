import type { Model } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { type Block, blocksOf } from "../../passes/quantize/blocks.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import { nodeKey, planQuantization } from "../../passes/quantize/plan.ts";
import { imitate } from "../imitation.ts";
import { withViews } from "./augment.ts";
import { collect, errorOf, split } from "./block-data.ts";
import { cutImitation, groupNames } from "./block-part.ts";
import { trainWhole } from "./block-training.ts";
import { type BlockReport, type Part, passOptions, type ReconstructOptions, type Subject } from "./block-types.ts";
import type { PtqContext } from "./context.ts";

/**
 * Tunes block after block so that each one's results on inputs as quantized so far come close to the float model's: learned rounding
 * (AdaRound) of all layers of a block together (BRECQ: Li et al., 2021), thresholds by gradient (TQT, LSQ), and shifts of biases. Needs no
 * labels. A block whose error does not fall keeps its old choices.
 */
export async function reconstruct(
  simplified: Model,
  context: PtqContext,
  choices: QuantizationChoices,
  options: ReconstructOptions,
): Promise<{ readonly choices: QuantizationChoices; readonly reports: readonly BlockReport[] }> {
  const model = simplified.clone();
  inferShapes(model);
  const plan = planQuantization(model, context.row, new Set(options.exclude));
  const subject: Subject = { simplified: model, plan, context, options, taught: withViews(context.feeds) };
  const reports: BlockReport[] = [];
  const settled = new Set<string>();
  const blocks = blocksOf(model, plan);
  let present = choices;
  for (const [i, block] of blocks.entries()) {
    if (performance.now() > (options.deadline ?? Number.POSITIVE_INFINITY)) break;
    context.options.signal?.throwIfAborted();
    context.options.onProgress?.({
      step: "reconstruct",
      done: i,
      total: blocks.length,
      detail: block.layers.map(nodeKey).join(", "),
    });
    const { next, report } = await tuneBlock(subject, block, present, settled);
    present = next;
    reports.push(report);
    options.onBlock?.(present, report);
  }
  return { choices: present, reports };
}

interface Tuned {
  readonly next: QuantizationChoices;
  readonly report: BlockReport;
}

async function tuneBlock(subject: Subject, block: Block, present: QuantizationChoices, settled: Set<string>): Promise<Tuned> {
  const started = performance.now();
  const { simplified, context, options } = subject;
  const imitation = await imitate(simplified, { ...context, ...present, ...passOptions(options) });
  const part = cutImitation(imitation, block);
  const { data, held } = await dataOf(subject, block, part, present);
  const before = await errorOf(subject, block, present, held);
  const trained = await trainWhole(subject, block, { part, imitation, data, present, settled });
  const after = trained ? await errorOf(subject, block, trained, held) : Number.POSITIVE_INFINITY;
  const better = trained && after < before;
  for (const name of groupNames(imitation, part)) settled.add(name);
  return {
    next: better ? trained : present,
    report: {
      layers: block.layers.map(nodeKey),
      before,
      after: Math.min(before, after),
      seconds: (performance.now() - started) / 1000,
    },
  };
}

/** What a block learns from, other views of pictures included, and what decides whether it learned something: inputs that judge, where there are any. */
async function dataOf(subject: Subject, block: Block, part: Part, present: QuantizationChoices) {
  const { feeds, judgeFeeds } = subject.context;
  const data = await collect(subject, block, part, present, subject.taught);
  if (feeds === judgeFeeds) return split(data);
  return { data, held: await collect(subject, block, part, present, judgeFeeds) };
}
