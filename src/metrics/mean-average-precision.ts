import { z } from "zod";
import { type Box, toFloat32 } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { defineMetric, type MetricState, targetOf, type Weights } from "./define.ts";
import { boxOverlap, type Detection, detectionsOf } from "./detections.ts";

const options = z.strictObject({
  /** Output with one detection a row: x, y, width, height in pixels of the original image, score, class. */
  output: z.string().default("detections"),
  /** Detections beyond this many an image do not count, best first. */
  maxDetections: z.number().int().positive().default(100),
});
type Options = z.infer<typeof options>;

/** One detection of one class: its image, and at which thresholds it found a box of its own. */
interface Match {
  readonly image: number;
  readonly score: number;
  /** Bit t: matched at thresholds[t]. */
  readonly found: number;
}
interface ClassRecord {
  readonly matches: Match[];
  /** Labelled boxes by image. */
  readonly labelled: Map<number, number>;
}

/**
 * Greedy matching of one image and one class, best score first: each detection takes the free labelled box that it overlaps most,
 * when IoU reaches the threshold.
 */
export function matchDetections(
  detections: readonly Detection[],
  boxes: readonly Box[],
  thresholds: readonly number[],
): number[] {
  const overlaps = detections.map((detection) => boxes.map((box) => boxOverlap(detection, box)));
  const found = new Array<number>(detections.length).fill(0);
  thresholds.forEach((threshold, t) => {
    const taken = new Set<number>();
    overlaps.forEach((row, d) => {
      let best = -1;
      row.forEach((overlap, b) => {
        if (!taken.has(b) && overlap >= threshold && (best < 0 || overlap > (row[best] as number))) best = b;
      });
      if (best < 0) return;
      taken.add(best);
      found[d] = (found[d] as number) | (1 << t);
    });
  });
  return found;
}

/** Average precision at 101 recall points 0, 0.01, …, 1, precision made non-increasing first; matches sorted by score, best first. */
export function averagePrecision(
  matches: readonly Match[],
  threshold: number,
  positives: number,
  weights: Weights | undefined,
): number {
  const recalls: number[] = [];
  const precisions: number[] = [];
  let hits = 0;
  let misses = 0;
  for (const match of matches) {
    const weight = weights ? (weights[match.image] as number) : 1;
    if (weight === 0) continue;
    if (match.found & (1 << threshold)) hits += weight;
    else misses += weight;
    recalls.push(hits / positives);
    precisions.push(hits / (hits + misses));
  }
  for (let i = precisions.length - 2; i >= 0; i--) precisions[i] = Math.max(precisions[i] as number, precisions[i + 1] as number);
  let sum = 0;
  let at = 0;
  for (let point = 0; point <= 100; point++) {
    while (at < recalls.length && (recalls[at] as number) < point / 100) at++;
    sum += at < recalls.length ? (precisions[at] as number) : 0;
  }
  return sum / 101;
}

class PrecisionState implements MetricState {
  readonly #options: Options;
  readonly #thresholds: readonly number[];
  readonly #classes = new Map<number, ClassRecord>();
  #images = 0;
  #sorted = false;

  constructor(thresholds: readonly number[], chosen: Options) {
    this.#thresholds = thresholds;
    this.#options = chosen;
  }

  #class(index: number): ClassRecord {
    const known = this.#classes.get(index);
    if (known) return known;
    const fresh: ClassRecord = { matches: [], labelled: new Map() };
    this.#classes.set(index, fresh);
    return fresh;
  }

  update(...[outputs, sample]: Parameters<MetricState["update"]>): void {
    const image = this.#images++;
    const { boxes } = targetOf(sample, "boxes");
    const tensor = outputs[this.#options.output];
    if (!tensor)
      throw new EdgewrightError(
        "OUTPUT_UNKNOWN",
        `Detection metrics read an output "${this.#options.output}", which is not there.`,
        {
          hint: 'Name a post-process that makes detections, e.g. "yolox".',
        },
      );
    const kept = detectionsOf(toFloat32(tensor)).slice(0, this.#options.maxDetections);
    for (const index of new Set([...boxes.map((box) => box.classIndex), ...kept.map((d) => d.classIndex)])) {
      const own = boxes.filter((box) => box.classIndex === index);
      const detections = kept.filter((d) => d.classIndex === index);
      const record = this.#class(index);
      if (own.length > 0) record.labelled.set(image, own.length);
      const found = matchDetections(detections, own, this.#thresholds);
      for (const [i, { score }] of detections.entries()) record.matches.push({ image, score, found: found[i] as number });
    }
    this.#sorted = false;
  }

  value(): number {
    return this.weighted();
  }

  weighted(weights?: Weights): number {
    if (!this.#sorted) for (const record of this.#classes.values()) record.matches.sort((a, b) => b.score - a.score);
    this.#sorted = true;
    let sum = 0;
    let count = 0;
    for (const { matches, labelled } of this.#classes.values()) {
      let positives = 0;
      for (const [image, boxes] of labelled) positives += boxes * (weights ? (weights[image] as number) : 1);
      if (positives === 0) continue;
      for (let t = 0; t < this.#thresholds.length; t++) sum += averagePrecision(matches, t, positives, weights);
      count += this.#thresholds.length;
    }
    return (100 * sum) / count;
  }
}

const precisionMetric = (name: string, summary: string, thresholds: readonly number[]) =>
  defineMetric<Options>({
    name,
    summary,
    unit: "%",
    better: "higher",
    needs: ["boxes"],
    options,
    start: (chosen) => new PrecisionState(thresholds, chosen),
  });

const cocoThresholds = Array.from({ length: 10 }, (_, i) => (50 + 5 * i) / 100);
/** As COCO defines it (detection evaluation, "AP"): class-wise, 101 recall points, IoU 0.50 to 0.95 in steps of 0.05. */
export const map5095 = precisionMetric(
  "mAP50-95",
  "mean average precision over classes and IoU 0.50 to 0.95 (COCO)",
  cocoThresholds,
);
export const map50 = precisionMetric("mAP50", "mean average precision over classes at IoU 0.50", [0.5]);
