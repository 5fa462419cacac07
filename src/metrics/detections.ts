import { fromTypedArray, type Tensor } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";

/** A box with its score; x and y are the upper left corner, in pixels of the original image. */
export interface Detection {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly score: number;
  readonly classIndex: number;
}
type Rectangle = Pick<Detection, "x" | "y" | "width" | "height">;

/** Intersection over union of two rectangles; 0 where both are empty. */
export function boxOverlap(a: Rectangle, b: Rectangle): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  if (!(width > 0 && height > 0)) return 0;
  const both = width * height;
  return both / (a.width * a.height + b.width * b.height - both);
}

export interface SuppressionOptions {
  readonly iouThreshold: number;
  readonly maxDetections: number;
  /** Boxes of different classes suppress each other too; default false. */
  readonly acrossClasses?: boolean;
}

/** Greedy non-maximum suppression: the best box stays and removes those of its class that overlap it by more than the threshold. */
export function suppress(detections: readonly Detection[], options: SuppressionOptions): Detection[] {
  const keptByClass = new Map<number, Detection[]>();
  const kept: Detection[] = [];
  for (const candidate of [...detections].sort((a, b) => b.score - a.score)) {
    const group = options.acrossClasses ? 0 : candidate.classIndex;
    const rivals = keptByClass.get(group) ?? [];
    if (rivals.some((rival) => boxOverlap(rival, candidate) > options.iouThreshold)) continue;
    rivals.push(candidate);
    keptByClass.set(group, rivals);
    kept.push(candidate);
    if (kept.length === options.maxDetections) break;
  }
  return kept;
}

/** Detections as a float32 tensor [n, 6]: x, y, width, height, score, class. */
export const detectionTensor = (detections: readonly Detection[]): Tensor =>
  fromTypedArray(
    "float32",
    [detections.length, 6],
    Float32Array.from(detections.flatMap((d) => [d.x, d.y, d.width, d.height, d.score, d.classIndex])),
  );

/** Rows of such a tensor, best score first. */
export function detectionsOf(rows: Float32Array): Detection[] {
  if (rows.length % 6 !== 0)
    throw new EdgewrightError("DETECTION_SHAPE", `Detections come as rows of 6 numbers, not as ${rows.length} numbers in all.`);
  const detections: Detection[] = [];
  for (let i = 0; i < rows.length; i += 6) {
    const [x, y, width, height, score, classIndex] = rows.subarray(i, i + 6) as unknown as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    detections.push({ x, y, width, height, score, classIndex });
  }
  return detections.sort((a, b) => b.score - a.score);
}
