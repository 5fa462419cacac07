import { type Graph, type Model, type Tensor, tensorOf, type Value } from "../ir/index.ts";
import type { TrainingGraph } from "./training-graph.ts";

/** A graph with state, as `runtime/stateful` loads it (`bytes` from the model). */
export interface TrainingProgram {
  readonly model: Model;
  /** Graph input → state, graph output → state that it replaces. */
  readonly stateInputs: Readonly<Record<string, string>>;
  readonly stateOutputs: Readonly<Record<string, string>>;
  /** Inputs that data fill, with static types. */
  readonly dataInputs: readonly {
    readonly name: string;
    readonly dtype: "float32" | "int64";
    readonly shape: readonly number[];
  }[];
  /** Scalar inputs and their usual values; all must be fed. */
  readonly hyperparameters: Readonly<Record<string, number>>;
  /** Outputs that are no states: "loss", "loss:<name>" of each part, "gradient_norm"; the model's outputs when evaluating. */
  readonly outputs: readonly string[];
}

/** Where each tensor lies in its flat vector. */
export interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
}

export const slotsOf = (tensors: readonly { readonly name: string; readonly initial: Tensor }[]): Slot[] => {
  let offset = 0;
  return tensors.map(({ name, initial }) => {
    const slot = { name, shape: initial.shape, offset, size: initial.size };
    offset += initial.size;
    return slot;
  });
};
export const sizeOf = (slots: readonly Slot[]): number => slots.reduce((sum, { size }) => sum + size, 0);

/** Replaces the separate graph inputs by pieces of one flat state vector; returns the vector. */
export function flattenInputs(training: TrainingGraph, state: string, values: readonly Value[]): Value {
  const { b, graph } = training;
  const sizes = values.map((value) => b.size(value));
  const flat = graph.addInput(state, { dtype: "float32", shape: [sizes.reduce((a, size) => a + size, 0)] });
  b.before(graph.firstNode, () => {
    const pieces = b.split(flat, sizes, 0);
    values.forEach((value, i) => {
      const piece = pieces[i] as Value;
      graph.replaceAllUses(
        value,
        piece === flat && b.rank(value) === 1 ? flat : b.op("Reshape", [piece, b.ints(b.shape(value))]),
      );
    });
  });
  for (const value of values) graph.inputs.splice(graph.inputs.indexOf(value), 1);
  graph.changed();
  return flat;
}

/** Names a value and makes it a graph output. */
export function give(graph: Graph, b: TrainingGraph["b"], name: string, value: Value): void {
  const output = b.op("Identity", [value]);
  graph.rename(output, graph.freshName(name));
  graph.addOutput(output);
}

/** Name of the graph output that carries a state's next value. */
export const stateOutput = (state: string): string => `next:${state}`;

const allStates = ["parameters", "statistics", "gradients", "momentum", "second_moment", "average", "masks"] as const;

/** Turns a finished graph into a program: unused state inputs go, everything else is listed. */
export function finish(training: TrainingGraph, written: readonly string[]): TrainingProgram {
  const { graph } = training;
  removeDeadNodes(graph);
  const stateInputs = allStates.filter((state) => graph.inputs.some(({ name }) => name === state));
  for (const state of stateInputs) {
    const input = graph.inputs.find(({ name }) => name === state) as Value;
    if (input.uses.size > 0 || input.isGraphOutput) continue;
    graph.inputs.splice(graph.inputs.indexOf(input), 1);
  }
  const left = new Set(graph.inputs.map(({ name }) => name));
  for (const value of [...graph.initializers])
    if (value.uses.size === 0 && !value.isGraphOutput && !value.isGraphInput) graph.removeInitializer(value);
  const outputs = graph.outputs.map(({ name }) => name);
  return {
    model: training.model,
    stateInputs: Object.fromEntries(stateInputs.filter((state) => left.has(state)).map((state) => [state, state])),
    stateOutputs: Object.fromEntries(written.map((state) => [stateOutput(state), state])),
    dataInputs: training.dataInputs.map(({ name, type }) => ({
      name,
      dtype: type?.dtype as "float32",
      shape: type?.shape as readonly number[],
    })),
    hyperparameters: Object.fromEntries(training.hyperparameters),
    outputs: outputs.filter((name) => !name.startsWith("next:")),
  };
}

function removeDeadNodes(graph: Graph): void {
  for (const node of [...graph.nodesReversed()])
    if (node.outputs.every((output) => output.uses.size === 0 && !output.isGraphOutput)) graph.remove(node);
}

/** One tensor of a flat state. */
export function pieceOf(flat: Tensor, { shape, offset, size }: Slot): Tensor {
  const bytes = flat.bytes().subarray(4 * offset, 4 * (offset + size));
  return tensorOf("float32", shape, new Float32Array(new Uint8Array(bytes).buffer));
}
