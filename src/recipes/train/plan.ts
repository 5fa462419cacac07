import type { Model, Tensor } from "../../ir/index.ts";
import type { CompiledTraining } from "../../train/compile.ts";
import { exportTrained } from "../../train/export.ts";
import type { Transform } from "../../train/forward.ts";

/** What is compiled for training, and how its result becomes a model again. */
export interface TrainingPlan {
  readonly model: Model;
  readonly transforms: readonly Transform[];
  /** Further scalar inputs by global step. */
  readonly hyperparameters: ((step: number, total: number) => Readonly<Record<string, number>>) | undefined;
  /** `weights`: the state that holds the weights to be used. */
  readonly exportModel: (compiled: CompiledTraining, states: Readonly<Record<string, Tensor>>, weights: string) => Model;
}

/** The prepared model itself, in float. */
export const floatPlan = (model: Model): TrainingPlan => ({
  model,
  transforms: [],
  hyperparameters: undefined,
  exportModel: (compiled, states, weights) => exportTrained(model, compiled, states, weights),
});
