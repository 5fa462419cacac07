import type { Model, Tensor } from "../ir/index.ts";
import type { CompiledTraining } from "./compile.ts";
import { pieceOf } from "./program.ts";

/** Writes trained weights and running statistics back into a copy of the model, by name. Tensors made for training alone are left out. */
export function exportTrained(
  model: Model,
  compiled: CompiledTraining,
  states: Readonly<Record<string, Tensor>>,
  weights = "parameters",
): Model {
  const copy = model.clone();
  const byName = new Map([...copy.graph.initializers].map((value) => [value.name, value]));
  for (const [state, slots] of [
    [weights, compiled.parameters],
    ["statistics", compiled.statistics],
  ] as const)
    for (const slot of slots) {
      const value = byName.get(slot.name);
      if (value) copy.graph.setConstant(value, pieceOf(states[state] as Tensor, slot));
    }
  return copy;
}
