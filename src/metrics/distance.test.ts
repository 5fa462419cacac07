import { describe, expect, test } from "vitest";
import { tensorOf } from "../ir/index.ts";
import { type Detection, detectionTensor } from "./detections.ts";
import { detectionDistance } from "./distance.ts";

const box = (x: number, score: number, change: Partial<Detection> = {}): Detection => ({
  ...{ x, y: 10, width: 20, height: 20, score, classIndex: 0 },
  ...change,
});
const outputs = (...detections: Detection[]) => ({ detections: detectionTensor(detections) });
const between = (a: readonly Detection[], b: readonly Detection[]): number =>
  detectionDistance.between(outputs(...a), outputs(...b));

const scene = [box(0, 0.9), box(100, 0.5), box(200, 0.25, { classIndex: 3 }), box(5, 0.3)];
/** 1 + Σ r² of the scene. */
const norm = 1 + 0.81 + 0.25 + 0.0625 + 0.09;

describe("distance of detections", () => {
  test("equal sets are at zero, in whatever order their rows come", () => {
    expect(between(scene, scene)).toBeCloseTo(0, 6);
    expect(between(scene, [...scene].reverse())).toBeCloseTo(0, 6);
    expect(between([], [])).toBe(0);
  });

  test("a detection that is lost, or invented, costs its squared score", () => {
    expect(
      between(
        scene,
        scene.filter(({ score }) => score !== 0.5),
      ),
    ).toBeCloseTo(0.25 / norm, 6);
    expect(between(scene, [...scene, box(300, 0.4)])).toBeCloseTo(0.16 / norm, 6);
    expect(between([], [box(0, 0.6)])).toBeCloseTo(0.36, 6);
  });

  test("another class is a loss and an invention", () => {
    const other = scene.map((one) => (one.score === 0.5 ? { ...one, classIndex: 1 } : one));
    expect(between(scene, other)).toBeCloseTo(0.5 / norm, 6);
  });

  test("a changed score costs its squared change", () => {
    const other = scene.map((one) => (one.score === 0.5 ? { ...one, score: 0.3 } : one));
    expect(between(scene, other)).toBeCloseTo(0.04 / norm, 6);
  });

  test("a moved box costs more the farther it goes, without a jump where it no longer overlaps", () => {
    const moved = (by: number): number => between([box(0, 0.5)], [box(by, 0.5)]);
    const costs = [0, 1, 5, 10, 15, 19.9, 20, 40].map(moved);
    for (let i = 1; i < 6; i++) expect(costs[i]).toBeGreaterThan((costs[i - 1] as number) + 0.01);
    // a twentieth of the width: IoU 19 / 21
    expect(costs[1]).toBeCloseTo((2 * 0.25 * (1 - 19 / 21)) / 1.25, 5);
    expect((costs[6] as number) - (costs[5] as number)).toBeLessThan(0.002);
    expect(costs[6]).toBeCloseTo(0.5 / 1.25, 6);
    expect(costs[7]).toBe(costs[6]);
  });

  test("each detection is paired once: a duplicate is an invention", () => {
    expect(between([box(0, 0.8)], [box(0, 0.8), box(1, 0.4)])).toBeCloseTo(0.16 / 1.64, 6);
  });

  test("a set without faint detections, or without any, has been cut at a threshold", () => {
    expect(detectionDistance.hides(outputs(...scene))).toBe(true);
    expect(detectionDistance.hides(outputs())).toBe(true);
    expect(detectionDistance.hides(outputs(...scene, box(400, 0.01)))).toBe(false);
  });

  test("reads rows of six finite numbers", () => {
    expect(detectionDistance.applies(outputs())).toBe(true);
    expect(detectionDistance.applies({ scores: tensorOf("float32", [1, 6], [0, 0, 1, 1, 1, 0]) })).toBe(false);
    expect(detectionDistance.applies({ detections: tensorOf("float32", [1, 3], [0, 0, 1]) })).toBe(false);
    expect(between(scene, [box(Number.NaN, 0.5)])).toBe(Number.POSITIVE_INFINITY);
  });
});
