import { encodeOnnx } from "../formats/index.ts";
import type { Model, Tensor } from "../ir/index.ts";
import { ortNode } from "./ort-node.ts";

/** Runs a small model once on onnxruntime-node: what passes fold constants with (see `Evaluate` in passes/define.ts). */
export async function ortEvaluate(
  model: Model,
  feeds: Readonly<Record<string, Tensor>> = {},
): Promise<Readonly<Record<string, Tensor>>> {
  // Optimizing would cost more than the single run gains, and would compute the constants twice.
  const session = await ortNode.load(encodeOnnx(model), { optimization: "disabled" });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}
