import type { HalfType } from "./types.ts";

/** Which ops a target computes in a 16-bit float type itself, rather than in float32 behind conversions of its own. */
export interface HalfRow {
  readonly float16: "all" | Readonly<Record<string, true>>;
  readonly bfloat16: "all" | Readonly<Record<string, true>>;
  /** Where the facts come from. */
  readonly source: string;
}

/** For targets that say nothing: float16 wherever ONNX has it, bfloat16 for weights alone. */
export const usualHalf: HalfRow = {
  float16: "all",
  bfloat16: {},
  source: "float16 is the usual type of GPUs and NPUs; bfloat16 is of few",
};

export const computesHalf = (row: HalfRow, dtype: HalfType, opType: string): boolean =>
  row[dtype] === "all" || (row[dtype] as Readonly<Record<string, true>>)[opType] === true;
