import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readOnnx } from "../../../formats/onnx/index.ts";
import { Tensor } from "../../../ir/index.ts";
import { inferShapes } from "../../../ops/infer.ts";
import { canSaturateLayer, findIntegerLayers } from "./find-layers.ts";
import { emptyTally, simulateLayer } from "./simulate-layer.ts";

interface LayerCase {
  readonly name: string;
  readonly model: string;
  readonly input: number[];
  readonly x: string;
  readonly output: number[];
  readonly y: string;
}
/** What onnxruntime gave under emulation of a processor without VNNI (conformance/saturation). */
const { layers } = JSON.parse(
  readFileSync(new URL("../../../../test/fixtures/saturation-avx2.json", import.meta.url), "utf8"),
) as { layers: LayerCase[] };
const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));

function only(one: LayerCase) {
  const model = readOnnx(bytes(one.model));
  inferShapes(model);
  const found = findIntegerLayers(model);
  expect(found).toHaveLength(1);
  return found[0] as (typeof found)[0];
}
const exact = (name: string): boolean => /one channel in and out|depthwise(?!.*two filters)|uint8 weights/.test(name);

describe("a layer gives what onnxruntime gives without VNNI", () => {
  test.each(layers.map((one) => [one.name, one] as const))("%s", (name, one) => {
    const layer = only(one);
    const tally = emptyTally();
    const y = simulateLayer(layer, new Tensor("uint8", one.input, bytes(one.x)), tally);
    expect(y.shape).toEqual(one.output);
    expect(Buffer.from(y.bytes()).equals(bytes(one.y))).toBe(true);
    expect(canSaturateLayer(layer)).toBe(!exact(name));
    expect(tally.saturated > 0 && tally.noise > 0).toBe(!exact(name));
  });
});
