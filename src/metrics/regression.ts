import { z } from "zod";
import { type Outputs, type PreparedSample, toFloat32 } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { defineMetric, meanState, targetOf } from "./define.ts";
import { outputOf } from "./outputs.ts";

const options = z.strictObject({ output: z.string().optional() });
type Options = z.infer<typeof options>;

/** Mean over the elements of one sample of what `error` makes of prediction − truth. */
function meanError(
  outputs: Outputs,
  sample: PreparedSample,
  name: string | undefined,
  error: (difference: number) => number,
): number {
  const prediction = outputOf(outputs, name);
  const { tensor } = targetOf(sample, "tensor");
  if (prediction.size !== tensor.size)
    throw new EdgewrightError(
      "TARGET_SHAPE",
      `The output for "${sample.origin}" has shape [${prediction.shape}], but its target has [${tensor.shape}].`,
      { subject: sample.origin },
    );
  const a = toFloat32(prediction);
  const b = toFloat32(tensor);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += error((a[i] as number) - (b[i] as number));
  return sum / a.length;
}

const errorMetric = (name: string, summary: string, error: (difference: number) => number) =>
  defineMetric<Options>({
    name,
    summary,
    unit: "",
    better: "lower",
    needs: ["tensor"],
    options,
    start: (chosen) => meanState((outputs, sample) => meanError(outputs, sample, chosen.output, error)),
  });

export const meanSquaredError = errorMetric("mse", "mean squared error", (d) => d * d);
export const meanAbsoluteError = errorMetric("mae", "mean absolute error", Math.abs);
