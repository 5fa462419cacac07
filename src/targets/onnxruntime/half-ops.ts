import type { HalfRow } from "../../passes/float16/row.ts";

const each = (types: string): Readonly<Record<string, true>> => Object.fromEntries(types.split(" ").map((type) => [type, true]));

const moves = "Cast Concat Flatten Gather GatherElements GatherND Identity Reshape Shape Slice Split Squeeze Transpose Unsqueeze";

/**
 * What onnxruntime 1.30's CPU provider computes in 16 bits itself on x86-64. Everything else it runs in float32 between casts that it
 * inserts (float16), or refuses (bfloat16). Each line is proved by `half-ops.test.ts`, which asks the installed onnxruntime.
 */
export const ortHalf: HalfRow = {
  float16: each(
    `${moves} Attention Clip Compress Expand LayerNormalization Max Min Mod RMSNormalization ReverseSequence Round Shrink Sign`,
  ),
  bfloat16: each(`${moves} LayerNormalization Sign`),
  source: "kernels asked of onnxruntime 1.30 on x86-64; builds for 64-bit Arm have a few more",
};
