import { inferShapes } from "../../ops/infer.ts";
import { definePass } from "../define.ts";
import { emitHalf } from "./emit.ts";
import { type Float16Params, float16Params } from "./params.ts";
import { planHalf } from "./plan.ts";

export { softenMasks } from "./masks.ts";
export type { Emitted, HalfPlan } from "./outcome.ts";
export type { Float16Params } from "./params.ts";

export { type HalfRow, usualHalf } from "./row.ts";
export { constantProblem, type HalfType, halfFacts, halfTypes } from "./types.ts";
export { type Watch, watchRanges } from "./watch.ts";

/**
 * 16-bit float weights and arithmetic between float32 inputs and outputs, through bodies of If, Loop and Scan too. A node stays float32
 * when a value was seen beyond the limit or below the type's normal numbers, when a sum inside it would overflow, when a constant does
 * not fit, or when the target has no kernel; its large weights are stored in 16 bits all the same, behind a Cast each.
 */
export const float16 = definePass<Float16Params>({
  name: "float16/convert",
  summary: "float16 or bfloat16 weights and activations, with float32 where the range demands it",
  params: float16Params,
  run({ model, params, note }) {
    inferShapes(model);
    const plan = planHalf(model, params);
    const emitted = emitHalf(model, plan, params);
    for (const node of plan.half) note("did", node, params.dtype);
    for (const [node, reason] of plan.floats) {
      const bytes = emitted.widened.get(node);
      if (bytes === undefined) note("skipped", node, reason);
      else note("did", node, `weights in ${params.dtype}, computes in float32: ${reason}`);
    }
    params.onPlan?.(plan, emitted);
  },
});
