import { describe, expect, test } from "vitest";
import { type Outputs, type PreparedSample, tensorOf } from "../../ir/index.ts";
import { findTask, resolveTask } from "../../measure/task.ts";
import { defineMetric, definePostprocess, detectionTensor, meanState } from "../../metrics/index.ts";
import { classDistance, distanceOf, tensorDistance } from "./distance.ts";

/** Rows x, y, w, h, score, class to detections with a score above a half, scaled as the sample says. */
const rows = definePostprocess({
  name: "rows",
  summary: "rows as they are",
  apply: ({ y }, { geometry: { scale = 1 } }) => {
    const [x = 0, top = 0, width = 0, height = 0, score = 0] = new Float32Array((y as NonNullable<typeof y>).bytes().buffer);
    const found =
      score > 0.5 ? [{ x: x * scale, y: top * scale, width: width * scale, height: height * scale, score, classIndex: 0 }] : [];
    return { detections: detectionTensor(found) };
  },
});
const found = defineMetric({
  ...{ name: "found", summary: "", unit: "", better: "higher" as const, needs: [] },
  start: () => meanState(() => 1),
});
const plugins = [{ postprocess: [rows], metrics: [found] }];
const detection = resolveTask(findTask("detection"), { metrics: [{ name: "found" }], postprocess: [{ name: "rows" }], plugins });

const output = (...values: number[]): Outputs => ({ y: tensorOf("float32", [1, 6], values) });
const feeds = { x: tensorOf("float32", [1], [0]) };
const one = (reference: Outputs, outputs: Outputs, distance = distanceOf(detection)): number =>
  distance.between([reference], [outputs], [feeds])[0] as number;

describe("the distance that a search goes by", () => {
  test("class scores by KL, numbers by relative error, detections by what post-processing makes of them", () => {
    expect(distanceOf(resolveTask(findTask("classification")))).toBe(classDistance);
    expect(distanceOf(resolveTask(findTask("super-resolution")))).toBe(tensorDistance);
    expect(distanceOf(detection).measure).toBe("distance of detections");
  });

  test("a score that counts is worth far more than numbers that do not", () => {
    const reference = output(0, 0, 10, 10, 0.9, 0);
    // a hundredth of the plain error stays
    const ignored = one(reference, output(0, 0, 10, 10, 0.9, 5));
    const lower = one(reference, output(0, 0, 10, 10, 0.7, 0));
    const lost = one(reference, output(0, 0, 10, 10, 0.4, 0));
    expect(one(reference, reference)).toBeCloseTo(0, 7);
    expect(ignored).toBeGreaterThan(0);
    expect(ignored).toBeLessThan(0.003);
    expect(lower).toBeCloseTo(0.04 / 1.81, 2);
    expect(lost).toBeCloseTo(0.81 / 1.81, 2);
  });

  test("where nothing is found the numbers decide", () => {
    const reference = output(0, 0, 10, 10, 0.3, 0);
    const near = one(reference, output(0, 0, 10, 10, 0.31, 0));
    const far = one(reference, output(0, 0, 10, 12, 0.31, 0));
    expect(near).toBeGreaterThan(0);
    expect(far).toBeGreaterThan(10 * near);
    expect(far).toBeLessThan(0.01);
  });

  test("post-processing knows how the sample was scaled", () => {
    const sample: PreparedSample = { id: "", origin: "", feeds, target: undefined, geometry: { scale: 0 } };
    // boxes without area overlap nothing: the sample's geometry was read
    const reference = output(0, 0, 10, 10, 1, 0);
    expect(one(reference, reference, distanceOf(detection, [sample]))).toBeCloseTo(1, 6);
  });

  test("a task whose post-processing does not fit the model, or whose plug-in drives it, keeps the plain distance", () => {
    const yolox = distanceOf(resolveTask(findTask("detection")));
    expect(one(output(3, 4, 0, 0, 0, 0), output(3, 0, 0, 0, 0, 0), yolox)).toBeCloseTo(16 / 25, 6);
    const driven = { ...detection, run: async () => ({}) };
    expect(distanceOf(driven)).toBe(tensorDistance);
  });

  test("outputs that are no numbers are infinitely far", () => {
    const reference = output(0, 0, 10, 10, 0.9, 0);
    expect(one(reference, output(Number.NaN, 0, 10, 10, 0.9, 0))).toBe(Number.POSITIVE_INFINITY);
  });
});
