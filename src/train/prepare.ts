import type { Model } from "../ir/index.ts";
import type { Evaluate } from "../passes/define.ts";
import { runPass } from "../passes/manager.ts";
import { simplify } from "../passes/simplify/index.ts";
import { separateSharedVectors } from "./parameters.ts";

export interface PrepareForTrainingOptions {
  /** "fold" merges BatchNormalization into the layers before it, for good; the others keep it a layer of its own. */
  readonly batchNormalization?: "train" | "frozen" | "fold" | undefined;
  /** Runs constant subgraphs (`ortEvaluate`). */
  readonly evaluate: Evaluate;
}

/** Equal initializers must stay apart: they begin equal and do not stay so. Dropout means something while training. */
const always = ["merge-equal-initializers", "eliminate-dropout"];
const mergesNormalization = ["fold-scale-and-bias", "fold-scale-and-bias-into-next", "fuse-constant-chain"];

/**
 * The model as training takes it: working opset, simplified without changes that would tie or hide weights. This model, with its own
 * dynamic shapes, is also what trained weights are written back into. Works on a copy.
 */
export async function prepareForTraining(model: Model, options: PrepareForTrainingOptions): Promise<Model> {
  const prepared = model.clone();
  const skip = options.batchNormalization === "fold" ? always : [...always, ...mergesNormalization];
  await runPass(simplify, prepared, { skip, fixOverridable: true }, options.evaluate);
  separateSharedVectors(prepared.graph);
  return prepared;
}
