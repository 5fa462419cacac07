import type { Model, Tensor } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import type { QuantizationChoices } from "../../passes/quantize/choices.ts";
import type { QuantizationPlan } from "../../passes/quantize/plan.ts";
import type { Imitation } from "../imitation.ts";
import type { PtqContext } from "./context.ts";
import type { QuantizeOptions } from "./quantized.ts";

export interface ReconstructOptions extends QuantizeOptions {
  /** Optimizer steps per block. */
  readonly steps: number;
  readonly batch: number;
  readonly learningRate: number;
  /** Strength of the pull towards whole integers at the end. */
  readonly pull: number;
  readonly seed: number;
  /** No block is begun after this moment (performance.now()); what was tuned so far is kept. */
  readonly deadline?: number;
  /** Called with the choices so far after every block, so that nothing is lost. */
  readonly onBlock?: (choices: QuantizationChoices, report: BlockReport) => void;
}

export interface BlockReport {
  readonly layers: readonly string[];
  /** Relative squared error of the block's outputs before and after, on inputs that it did not learn from. */
  readonly before: number;
  readonly after: number;
  readonly seconds: number;
}

export interface Subject {
  readonly simplified: Model;
  readonly plan: QuantizationPlan;
  readonly context: PtqContext;
  readonly options: ReconstructOptions;
  /** Inputs of the model that blocks learn from. */
  readonly taught: readonly Feeds[];
}

export interface Part {
  readonly model: Model;
  /** The block's outputs there, in the order of the block's. */
  readonly outputs: readonly string[];
}

/** Inputs of the part as the quantized model makes them, and the float model's results: per sample. */
export interface BlockData {
  readonly inputs: readonly Readonly<Record<string, Tensor>>[];
  readonly targets: readonly Readonly<Record<string, Tensor>>[];
}

export interface Job {
  readonly part: Part;
  readonly imitation: Imitation;
  readonly data: BlockData;
  readonly present: QuantizationChoices;
  /** Values whose ranges earlier blocks have tuned. */
  readonly settled: ReadonlySet<string>;
}

export const passOptions = ({ exclude, weightBits }: QuantizeOptions): QuantizeOptions => ({
  ...(exclude ? { exclude } : {}),
  ...(weightBits === undefined ? {} : { weightBits }),
});
