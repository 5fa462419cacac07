import type { Model, Value } from "../ir/index.ts";
import { invariant } from "../util/errors.ts";
import { trainBatchNormalization } from "./batch-normalization.ts";
import { trainDropout } from "./dropout.ts";
import { expandComposites } from "./expand.ts";
import { buildLoss, type Loss } from "./losses.ts";
import type { Optimizer } from "./optimizers.ts";
import { type Parameter, type Statistic, TrainingGraph, type TrainingGraphOptions, type TrainingMode } from "./training-graph.ts";

/** A change to the forward graph before losses and gradients are built: fake quantization, exit heads, feature matching. */
export type Transform = (training: TrainingGraph) => void;

export interface CompileOptions extends Omit<TrainingGraphOptions, "mode"> {
  readonly losses: readonly Loss[];
  readonly optimizer: Optimizer;
  /** "train": statistics of each batch; "frozen": the stored ones stay. Folding is done before (`prepareForTraining`). */
  readonly batchNormalization?: "train" | "frozen" | undefined;
  /** Scales the gradient down to this Euclidean norm where it is larger. */
  readonly clipNorm?: number | undefined;
  /** Keeps an exponential moving average of the weights (state "average", decay: input "average_decay"). */
  readonly average?: boolean | undefined;
  /** Multiplies the weights by the state "masks" after every update (pruning). */
  readonly masks?: boolean | undefined;
  readonly transforms?: readonly Transform[] | undefined;
  /** Further losses made by transforms, already weighted. */
  readonly extraLosses?: ((training: TrainingGraph) => readonly { readonly name: string; readonly value: Value }[]) | undefined;
}

/** A model with its losses, before gradients. */
export interface Forward {
  readonly training: TrainingGraph;
  /** Decayed ones first, so that weight decay is a slice. */
  readonly parameters: readonly Parameter[];
  readonly statistics: readonly Statistic[];
  readonly total: Value;
  readonly losses: readonly { readonly name: string; readonly value: Value }[];
}

export function buildForward(model: Model, options: CompileOptions, mode: TrainingMode): Forward {
  const training = new TrainingGraph(model, { ...options, mode });
  const { b } = training;
  for (const transform of options.transforms ?? []) transform(training);
  if (options.batchNormalization !== "frozen") trainBatchNormalization(training);
  trainDropout(training);
  const weighted = options.losses.map((loss) => buildLoss(training, loss));
  const parts = weighted.map(({ name, value, weight }) => ({ name, value, scaled: b.mul(value, weight) }));
  const extra = options.extraLosses?.(training) ?? [];
  const scaled = [...parts.map((part) => part.scaled), ...extra.map(({ value }) => value)];
  invariant(scaled.length > 0, "training needs a loss");
  const total = scaled.reduce((a, part) => b.add(a, part));
  expandComposites(b);
  const parameters = [...training.parameters].sort((a, z) => Number(z.decay) - Number(a.decay));
  return { training, parameters, statistics: training.statistics, total, losses: [...parts, ...extra] };
}
