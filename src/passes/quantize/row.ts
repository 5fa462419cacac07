import type { Attribute, DataType } from "../../ir/index.ts";
import type { HalfRow } from "../float16/row.ts";
import type { WeightOnlyRow } from "./weight-only/row.ts";

/** A scale and zero point that a kernel writes whatever the data: real = (q - zeroPoint) * scale. */
export interface FixedOutput {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** How one op type runs in integer arithmetic on a target. */
export interface IntegerOp {
  /**
   * "anchor": integer arithmetic is the gain (Conv, MatMul, Gemm). "follow": worth it only where its inputs are quantized already.
   * "move": moves or selects elements; quantized only between quantized nodes.
   */
  readonly role: "anchor" | "follow" | "move";
  /** The kernel can give float directly, so no quantize node is needed after it. */
  readonly floatOutput?: boolean;
  /** False where the kernel takes one weight scale only, although the row says per channel. Default true. */
  readonly perChannel?: boolean;
  /** The element type of this kernel's weights where it is not the row's. */
  readonly weightDtype?: "int8" | "uint8";
  /** Input and output must share scale and zero point although the op record leaves them free. */
  readonly sameScale?: boolean;
  /** The op record says "same scale", but this kernel rescales each input itself. */
  readonly freeScales?: boolean;
  /** The kernel writes this scale and zero point and no other. */
  readonly fixedOutput?: FixedOutput;
  /** Facts that make the target refuse: attributes and ranks by data, e.g. {"rank": [3, 4]}. */
  readonly ranks?: readonly number[];
}

/** One row of the target table: how an INT8 model must look for a runtime to run its integer kernels. Data, given by a target. */
export interface QuantizationRow {
  readonly name: string;
  readonly summary: string;
  /** False: the target computes activations in float, `ops` is empty, and `floatScheme` says how its files become small. Default true. */
  readonly quantizable?: boolean;
  /** What stands in for INT8 where activations stay float: float16 throughout, or int8 weights that a dequantize node reads. */
  readonly floatScheme?: "fp16" | "int8-weights";
  /** Quantized per tensor. */
  readonly activation: {
    readonly dtype: "uint8" | "int8";
    /** The zero point is the middle: 0 of int8, 128 of uint8. */
    readonly symmetric: boolean;
    /** Scales must be powers of two (shift instead of multiply). */
    readonly powerOfTwo?: boolean;
    /** Default 8; fewer bits use fewer of the type's values. */
    readonly bits?: number;
  };
  readonly weight: {
    readonly dtype: "int8" | "uint8";
    /** Kernels take uint8 weights around 128 as well, and do not saturate with them, but are slower. */
    readonly wideDtype?: "uint8";
    /** One scale per output channel; `perChannel: false` of an op takes it back for that op. */
    readonly perChannel: boolean;
    /** Weights keep to 7 bits, so that two 8-bit products fit into 16 bits. */
    readonly reduceRange: boolean;
    /** The zero point is the middle, as of activations. Default true. */
    readonly symmetric?: boolean;
    /** The most negative integer (-128) must not occur. */
    readonly narrowRange?: boolean;
    readonly powerOfTwo?: boolean;
    /** Default 8. */
    readonly bits?: number;
  };
  /** "int32" (default): integers that count in steps of s_x·s_w, behind a dequantize node, zero point 0. "float32": left as it is. */
  readonly bias?: "int32" | "float32";
  /** Ops whose output range is known (Softmax, Sigmoid) must use it exactly. */
  readonly fixedScales: boolean;
  readonly ops: Readonly<Record<string, IntegerOp>>;
  /** Ops that the target computes in float where they stay float; {}: it computes in integers only. Absent: whatever its runtime knows. */
  readonly floatOps?: Readonly<Record<string, true>>;
  /** Every extent must be a number before the file is loaded. */
  readonly staticShapes?: boolean;
  /** The largest rank of an integer tensor. */
  readonly maxRank?: number;
  /** Only this many innermost axes of an integer tensor may be longer than 1. */
  readonly innermostAxes?: number;
  /** The youngest operator set of the standard domain that the target reads. */
  readonly maxOpset?: number;
  /** Float ops that the runtime would quantize by itself between quantized neighbours, and the no-op after them that stops it. */
  readonly guard?: {
    readonly ops: Readonly<Record<string, true>>;
    readonly opType: string;
    readonly attributes: Readonly<Record<string, Attribute>>;
  };
  /** Ops whose constant matrix may be stored as integers and computed with scales found at run time. */
  readonly dynamic: Readonly<Record<string, "matmul" | "gemm" | "conv">>;
  /** How weights are stored in 4 or 8 bits under float activations; default: by standard ops. */
  readonly weightOnly?: WeightOnlyRow;
  /** What the target computes in 16-bit floats itself; default: float16 wherever ONNX has it, bfloat16 for weights alone. */
  readonly half?: HalfRow;
  /** Where the facts come from. */
  readonly source: string;
}

/** A target without a single float op: its final results are integers too. */
export const integersOnly = ({ floatOps }: QuantizationRow): boolean =>
  floatOps !== undefined && Object.keys(floatOps).length === 0;

/** The zero point of symmetric quantization. */
export const middleOf = (dtype: DataType): number => (dtype === "uint8" ? 128 : 0);

/** Smallest and largest integer of a quantized type; `narrow` drops the most negative one, `reduced` uses 7 bits. */
export function integerBounds(dtype: DataType, options: { narrow?: boolean; reduced?: boolean } = {}): readonly [number, number] {
  if (dtype === "uint8") return options.reduced ? [0, 127] : [0, 255];
  if (options.reduced) return options.narrow ? [-63, 63] : [-64, 63];
  return options.narrow ? [-127, 127] : [-128, 127];
}
