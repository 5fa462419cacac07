import { z } from "zod";
import { type Outputs, type PreparedSample, toFloat32 } from "../../ir/index.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { definePostprocess } from "../define.ts";
import { type Detection, detectionTensor, suppress } from "../detections.ts";
import { outputOf } from "../outputs.ts";
import { toOriginal } from "./geometry.ts";

const options = z.strictObject({
  output: z.string().optional(),
  /** Pixels of the network's input that one cell of each grid covers, in the order of the output's rows. */
  strides: z.array(z.number().int().positive()).min(1).default([8, 16, 32]),
  scoreThreshold: z.number().min(0).max(1).default(0.001),
  iouThreshold: z.number().min(0).max(1).default(0.65),
  maxDetections: z.number().int().positive().default(100),
  /** Every class of a box above the threshold is a detection, as mean average precision rewards; false: only its best class. */
  everyClass: z.boolean().default(true),
});
type Options = z.infer<typeof options>;

/** Height and width of the network's input: the last axes of its (only) image. */
function inputExtent(sample: PreparedSample): [height: number, width: number] {
  const image = Object.values(sample.feeds).find((tensor) => tensor.shape.length === 4);
  const [height, width] = image?.shape.slice(-2) ?? [];
  if (height && width) return [height, width];
  throw new EdgewrightError("POSTPROCESS_INPUT", `yolox needs an image input [1, 3, height, width] to place its grids.`, {
    subject: sample.origin,
  });
}

/** The cells of all grids in output order: column, row, stride. */
function gridCells([height, width]: readonly [number, number], strides: readonly number[]): [number, number, number][] {
  const cells: [number, number, number][] = [];
  for (const stride of strides)
    for (let row = 0; row < Math.floor(height / stride); row++)
      for (let column = 0; column < Math.floor(width / stride); column++) cells.push([column, row, stride]);
  return cells;
}

/** One row: x, y, w, h relative to its cell, objectness, class probabilities (both through a sigmoid already). */
function* decodeRow(
  row: Float32Array,
  [column, line, stride]: readonly [number, number, number],
  chosen: Options,
): Generator<Detection> {
  const [dx, dy, dw, dh, objectness] = row as unknown as [number, number, number, number, number];
  if (objectness <= chosen.scoreThreshold) return;
  const width = Math.exp(dw) * stride;
  const height = Math.exp(dh) * stride;
  const box = { x: (dx + column) * stride - width / 2, y: (dy + line) * stride - height / 2, width, height };
  let best = 5;
  for (let c = 5; c < row.length; c++) {
    const score = objectness * (row[c] as number);
    if (chosen.everyClass && score > chosen.scoreThreshold) yield { ...box, score, classIndex: c - 5 };
    if ((row[c] as number) > (row[best] as number)) best = c;
  }
  const score = objectness * (row[best] as number);
  if (!chosen.everyClass && score > chosen.scoreThreshold) yield { ...box, score, classIndex: best - 5 };
}

function apply(outputs: Outputs, sample: PreparedSample, chosen: Options): Outputs {
  const tensor = outputOf(outputs, chosen.output);
  const cells = gridCells(inputExtent(sample), chosen.strides);
  const width = tensor.shape.at(-1) ?? 0;
  if (width < 6 || tensor.size !== cells.length * width)
    throw new EdgewrightError(
      "POSTPROCESS_SHAPE",
      `yolox expects ${cells.length} rows of 5 + classes numbers for strides ${chosen.strides.join(", ")}, but the output has shape [${tensor.shape}].`,
      { subject: sample.origin },
    );
  const values = toFloat32(tensor);
  const detections: Detection[] = [];
  cells.forEach((cell, i) => {
    for (const detection of decodeRow(values.subarray(i * width, (i + 1) * width), cell, chosen)) detections.push(detection);
  });
  const kept = suppress(detections, chosen).map((detection) => ({ ...detection, ...toOriginal(detection, sample.geometry) }));
  return { detections: detectionTensor(kept) };
}

/** Undecoded YOLOX output [1, cells, 5 + classes] to "detections" [n, 6] in pixels of the original image. */
export const yolox = definePostprocess<Options>({
  name: "yolox",
  summary: "YOLOX grids to boxes, class-wise non-maximum suppression, letterbox undone",
  options,
  apply,
});
