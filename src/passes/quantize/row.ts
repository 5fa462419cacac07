import type { Attribute, DataType } from "../../ir/index.ts";

/** How one op type runs in integer arithmetic on a target. */
export interface IntegerOp {
  /**
   * "anchor": integer arithmetic is the gain (Conv, MatMul, Gemm). "follow": worth it only where its inputs are quantized already.
   * "move": moves or selects elements; quantized only between quantized nodes.
   */
  readonly role: "anchor" | "follow" | "move";
  /** The kernel can give float directly, so no quantize node is needed after it. */
  readonly floatOutput?: boolean;
  /** False where the kernel takes one weight scale only. Default true. */
  readonly perChannel?: boolean;
  /** Input and output must share scale and zero point although the op record leaves them free. */
  readonly sameScale?: boolean;
  /** The op record says "same scale", but this kernel rescales each input itself. */
  readonly freeScales?: boolean;
  /** Facts that make the target refuse: attributes and ranks by data, e.g. {"rank": [3, 4]}. */
  readonly ranks?: readonly number[];
}

/** One row of the target table: how an INT8 model must look for a runtime to run its integer kernels. Data, given by a target. */
export interface QuantizationRow {
  readonly name: string;
  readonly summary: string;
  readonly activation: {
    readonly dtype: "uint8" | "int8";
    readonly symmetric: boolean;
    /** Scales must be powers of two (shift instead of multiply). */
    readonly powerOfTwo?: boolean;
  };
  readonly weight: {
    readonly dtype: "int8" | "uint8";
    readonly perChannel: boolean;
    readonly reduceRange: boolean;
    readonly powerOfTwo?: boolean;
  };
  /** Ops whose output range is known (Softmax, Sigmoid) must use it exactly. */
  readonly fixedScales: boolean;
  readonly ops: Readonly<Record<string, IntegerOp>>;
  /** Float ops that the runtime would quantize by itself between quantized neighbours, and the no-op after them that stops it. */
  readonly guard?: {
    readonly ops: Readonly<Record<string, true>>;
    readonly opType: string;
    readonly attributes: Readonly<Record<string, Attribute>>;
  };
  /** Ops whose constant matrix may be stored as integers and computed with scales found at run time. */
  readonly dynamic: Readonly<Record<string, "matmul" | "gemm" | "conv">>;
  /** Where the facts come from. */
  readonly source: string;
}

/** Smallest and largest integer of a quantized type; `narrow` drops the most negative one, `reduced` uses 7 bits. */
export function integerBounds(dtype: DataType, options: { narrow?: boolean; reduced?: boolean } = {}): readonly [number, number] {
  if (dtype === "uint8") return options.reduced ? [0, 127] : [0, 255];
  if (options.reduced) return options.narrow ? [-63, 63] : [-64, 63];
  return options.narrow ? [-127, 127] : [-128, 127];
}
