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
  /** Which of its machines add products in 16 bits (x86-64 without VNNI), where sums of u8·s8 may saturate. */
  readonly saturates?: "some" | "all";
  /**
   * Whether latency measured on a machine speaks for the target itself. When false, this machine's figures are a proxy and reports say so.
   */
  readonly measuredBy: (machine: { readonly arch: string; readonly instructionSets: readonly string[] }) => boolean;
}

export const defineTarget = (definition: TargetDef): TargetDef => definition;
