import type { Command } from "./command-line.ts";

/** A verb's file: adds description, arguments, options and action to an empty command. */
export interface VerbModule {
  configure(command: Command): void;
}

export interface Verb {
  /** One line for the overview; the verb's own `--help` says more. */
  readonly summary: string;
  readonly load: () => Promise<VerbModule>;
}

/** Every verb, loaded only when asked for, so that `--help` starts at once. */
export const verbs: Readonly<Record<string, Verb>> = {
  inspect: {
    summary: "what a model is: inputs, outputs, parameters, MACs, peak memory, layers",
    load: () => import("./commands/inspect.ts"),
  },
  simplify: { summary: "an equal model with fewer nodes", load: () => import("./commands/simplify.ts") },
  eval: { summary: "accuracy of a model on data, with its interval", load: () => import("./commands/eval.ts") },
  bench: { summary: "two models side by side: latency, memory, cold start, energy", load: () => import("./commands/bench.ts") },
  quantize: { summary: "one INT8 or FP16 file for a target", load: () => import("./commands/quantize.ts") },
  explain: {
    summary: "where a quantized model loses accuracy, and what to do about it",
    load: () => import("./commands/explain.ts"),
  },
  optimize: {
    summary: "the main job: the fastest file within a budget, with a report",
    load: () => import("./commands/optimize.ts"),
  },
  new: { summary: "a model of a known architecture with fresh weights", load: () => import("./commands/new.ts") },
  train: { summary: "train or fine-tune a model, quantization-aware if wanted", load: () => import("./commands/train.ts") },
  distill: { summary: "train a small model with a large one as its teacher", load: () => import("./commands/distill.ts") },
  targets: { summary: "the places where a model can run, and what each wants", load: () => import("./commands/targets.ts") },
  doctor: { summary: "which runtimes, instruction sets and tools this machine has", load: () => import("./commands/doctor.ts") },
};
