import { describe, expect, it } from "vitest";
import { float32Tensor, type Outputs, type PreparedSample, toFloat32 } from "../ir/index.ts";
import { parseOptions } from "./define.ts";
import { boxOverlap, type Detection, detectionsOf, detectionTensor, suppress } from "./detections.ts";
import { map50, map5095, matchDetections } from "./mean-average-precision.ts";
import { yolox } from "./postprocess/yolox.ts";

const box = (classIndex: number, x: number, y: number, width: number, height: number) => ({ classIndex, x, y, width, height });
const detection = (score: number, ...rest: Parameters<typeof box>): Detection => ({ ...box(...rest), score });
const sampleOf = (...boxes: ReturnType<typeof box>[]): PreparedSample => ({
  id: "i",
  origin: "i",
  feeds: {},
  target: { kind: "boxes", boxes },
  geometry: {},
});
const outputsOf = (...detections: Detection[]): Outputs => ({ detections: detectionTensor(detections) });

describe("boxes", () => {
  it("overlap of two half-shifted squares is a third", () => {
    expect(boxOverlap(box(0, 0, 0, 2, 2), box(0, 1, 0, 2, 2))).toBeCloseTo(1 / 3, 12);
    expect(boxOverlap(box(0, 0, 0, 2, 2), box(0, 2, 0, 2, 2))).toBe(0);
    expect(boxOverlap(box(0, 0, 0, 0, 0), box(0, 0, 0, 0, 0))).toBe(0);
  });
  it("suppression works within a class, best first", () => {
    const all = [detection(0.5, 1, 0, 0, 10, 10), detection(0.9, 1, 1, 0, 10, 10), detection(0.4, 2, 0, 0, 10, 10)];
    expect(suppress(all, { iouThreshold: 0.5, maxDetections: 10 }).map((d) => d.score)).toEqual([0.9, 0.4]);
    expect(suppress(all, { iouThreshold: 0.5, maxDetections: 10, acrossClasses: true }).map((d) => d.score)).toEqual([0.9]);
    expect(suppress(all, { iouThreshold: 0.5, maxDetections: 1 })).toHaveLength(1);
  });
  it("a tensor of detections comes back sorted", () => {
    const rows = detectionsOf(toFloat32(detectionTensor([detection(0.25, 3, 1, 2, 3, 4), detection(0.5, 1, 0, 0, 1, 1)])));
    expect(rows).toEqual([detection(0.5, 1, 0, 0, 1, 1), detection(0.25, 3, 1, 2, 3, 4)]);
    expect(() => detectionsOf(new Float32Array(7))).toThrow(/rows of 6/);
  });
});

describe("mAP", () => {
  it("matches a labelled box once, to the best detection", () => {
    const found = matchDetections(
      [detection(0.9, 0, 0, 0, 10, 10), detection(0.8, 0, 0, 0, 10, 10)],
      [box(0, 0, 0, 10, 10)],
      [0.5, 0.95],
    );
    expect(found).toEqual([0b11, 0]);
  });
  it("by hand: right, wrong, right of 2 boxes at IoU 0.5 is (51·1 + 50·2/3)/101", () => {
    const state = map50.start(parseOptions(map50, {}));
    state.update(
      outputsOf(detection(0.9, 0, 0, 0, 10, 10), detection(0.8, 0, 50, 50, 10, 10), detection(0.7, 0, 20, 0, 10, 10)),
      sampleOf(box(0, 0, 0, 10, 10), box(0, 20, 0, 10, 10)),
    );
    expect(state.value()).toBeCloseTo((100 * (51 + (50 * 2) / 3)) / 101, 10);
  });
  it("a box that overlaps by 0.82 counts at 7 of 10 thresholds; classes are averaged; unlabelled classes do not count", () => {
    const state = map5095.start(parseOptions(map5095, {}));
    state.update(
      outputsOf(detection(0.9, 0, 0, 0, 100, 82), detection(0.5, 7, 0, 0, 5, 5)),
      sampleOf(box(0, 0, 0, 100, 100), box(1, 0, 0, 9, 9)),
    );
    expect(state.value()).toBeCloseTo((70 + 0) / 2, 10);
  });
  it("an image drawn twice counts like two images", () => {
    const images = [
      [outputsOf(detection(0.9, 0, 0, 0, 10, 10), detection(0.3, 0, 40, 0, 10, 10)), sampleOf(box(0, 0, 0, 10, 10))],
      [outputsOf(detection(0.8, 0, 5, 5, 10, 10)), sampleOf(box(0, 20, 20, 10, 10), box(1, 0, 0, 2, 2))],
      [outputsOf(detection(0.6, 1, 0, 0, 3, 3)), sampleOf(box(1, 0, 0, 3, 3))],
    ] as const;
    const once = map5095.start(parseOptions(map5095, {}));
    for (const [outputs, sample] of images) once.update(outputs, sample);
    const repeated = map5095.start(parseOptions(map5095, {}));
    for (const i of [0, 0, 2]) repeated.update(...(images[i] as (typeof images)[number]));
    expect(once.weighted?.([2, 0, 1])).toBeCloseTo(repeated.value(), 10);
  });
  it("says what is missing without a post-process", () => {
    const state = map50.start(parseOptions(map50, {}));
    expect(() => state.update({ output: float32Tensor([1, 1], [0]) }, sampleOf())).toThrow(/"detections", which is not there/);
  });
});

describe("yolox", () => {
  const sample: PreparedSample = {
    ...sampleOf(),
    feeds: { images: float32Tensor([1, 3, 32, 32], new Array(3 * 32 * 32).fill(0)) },
    geometry: { scaleX: 0.5, scaleY: 0.5, offsetX: 2, offsetY: 4 },
  };
  // strides 8, 16, 32 on 32x32: 16 + 4 + 1 rows of 5 + 2 numbers
  const rows = (set: Record<number, number[]>): Outputs => ({
    output: float32Tensor([1, 21, 7], Array.from({ length: 21 }, (_, i) => set[i] ?? [0, 0, 0, 0, 0, 0, 0]).flat()),
  });
  const apply = (outputs: Outputs, options: unknown = {}): Detection[] =>
    detectionsOf(toFloat32(yolox.apply(outputs, sample, parseOptions(yolox, options)).detections as never));

  it("decodes a cell of the second grid and undoes the letterbox", () => {
    // row 16 + 3: column 1, line 1, stride 16; center (0.5 + 1)·16 = 24, size e^0·16
    const [found, ...rest] = apply(rows({ 19: [0.5, 0.5, 0, 0, 0.5, 0, 0.5] }));
    expect(rest).toHaveLength(0);
    expect(found).toMatchObject({ x: (16 - 2) / 0.5, y: (16 - 4) / 0.5, width: 32, height: 32, classIndex: 1 });
    expect(found?.score).toBeCloseTo(0.25, 6);
  });
  it("gives every class, or the best one when asked", () => {
    const both = rows({ 0: [0, 0, 0, 0, 1, 0.6, 0.7] });
    expect(apply(both).map((d) => d.classIndex)).toEqual([1, 0]);
    expect(apply(both, { everyClass: false }).map((d) => d.classIndex)).toEqual([1]);
  });
  it("an image without detections gives none", () => expect(apply(rows({}))).toEqual([]));
  it("says which shape it expects", () => {
    expect(() => apply({ output: float32Tensor([1, 4, 7], new Array(28).fill(0)) })).toThrow(/expects 21 rows/);
  });
});
