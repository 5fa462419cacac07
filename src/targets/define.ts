import type { QuantizationRow } from "../passes/quantize/row.ts";

/** Which real runtime executes a target's files on the machine at hand. */
export type ExecutorName = "ort-node" | "ort-web";

/** A place where a model is to run. */
export interface TargetDef {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  readonly executor: ExecutorName;
  readonly quantization: QuantizationRow;
  /**
   * Whether latency measured on a machine speaks for the target itself. When false, this machine's figures are a proxy and reports say so.
   */
  readonly measuredBy: (machine: { readonly arch: string; readonly instructionSets: readonly string[] }) => boolean;
}

export const defineTarget = (definition: TargetDef): TargetDef => definition;
