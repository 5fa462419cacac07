import { describe, expect, test } from "vitest";
import { type Outputs, type PreparedSample, type Tensor, tensorOf, toFloat32 } from "../../ir/index.ts";
import { findTask, resolveTask } from "../../measure/task.ts";
import { defineMetric, definePostprocess, detectionTensor, meanState } from "../../metrics/index.ts";
import { classDistance, distanceOf, tensorDistance } from "./distance.ts";

/** A row x, y, w, h, score to a detection where its score is above the threshold, scaled as the sample says. */
const rowsAbove = (threshold: number) =>
  definePostprocess({
    name: "rows",
    summary: "rows as they are",
    apply: ({ y }, { geometry: { scale = 1 } }) => {
      const [x = 0, top = 0, width = 0, height = 0, score = 0] = toFloat32(y as Tensor);
      const own = { x: x * scale, y: top * scale, width: width * scale, height: height * scale, score, classIndex: 0 };
      const faint = { x: 900, y: 900, width: 1, height: 1, score: 0.01, classIndex: 0 };
      return { detections: detectionTensor([own, faint].filter((one) => one.score > threshold)) };
    },
  });
const found = defineMetric({
  ...{ name: "found", summary: "", unit: "", better: "higher" as const, needs: [] },
  start: () => meanState(() => 1),
});
const taskAbove = (threshold: number) =>
  resolveTask(findTask("detection"), {
    metrics: [{ name: "found" }],
    postprocess: [{ name: "rows" }],
    plugins: [{ postprocess: [rowsAbove(threshold)], metrics: [found] }],
  });
const detection = taskAbove(0.5);
/** Shows faint detections too. */
const open = distanceOf(taskAbove(0.001));

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
    expect(one(reference, reference, open)).toBeCloseTo(0, 7);
    // of numbers that are not read a hundredth of the plain error stays
    const ignored = one(reference, output(0, 0, 10, 10, 0.9, 5), open);
    expect(ignored).toBeGreaterThan(0);
    expect(ignored).toBeLessThan(0.003);
    expect(one(reference, output(0, 0, 10, 10, 0.7, 0), open)).toBeCloseTo(0.04 / 1.81, 3);
    expect(one(reference, output(0, 0, 10, 10, 0, 0), open)).toBeCloseTo(0.81 / 1.81, 2);
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
    expect(one(reference, reference)).toBeCloseTo(0, 6);
    expect(one(reference, reference, distanceOf(detection, [sample]))).toBeGreaterThan(0.5);
  });

  test("what would cross a threshold with twice the error, or its mirror image, counts before anything does", () => {
    const safe = output(0, 0, 10, 10, 0.9, 0);
    const near = output(0, 0, 10, 10, 0.55, 0);
    const below = output(0, 0, 10, 10, 0.45, 0);
    const up = (reference: number, by: number) => output(0, 0, 10, 10, reference + by, 0);
    // neither loses a detection: from 0.9 the fourfold error stays above a half, from 0.55 the mirrored one does not
    expect(one(near, up(0.55, 0.06))).toBeGreaterThan(10 * one(safe, up(0.9, 0.06)));
    // nor is one found: from 0.45 twice the error is above a half
    expect(one(below, up(0.45, 0.03))).toBeGreaterThan(0.03);
    expect(one(below, up(0.45, 0.01))).toBeLessThan(0.03);
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
