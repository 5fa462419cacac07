import { describe, expect, it } from "vitest";
import { float32Tensor, fromTypedArray, tensorOf } from "../../ir/index.ts";
import { seededRandom } from "../../util/random.ts";
import { Column } from "./column.ts";
import type { InputForm } from "./form.ts";

const image = (layout: "nchw" | "nhwc", channels: number, side: number): InputForm => ({
  kind: "image",
  layout,
  channels,
  height: side,
  width: side,
  black: [],
  white: [],
  luma: [],
});
const read = (column: Column, sample: number) => {
  const into = new Float32Array(column.size + 2).fill(7);
  column.copyTo(sample, into, 1);
  expect([into[0], into.at(-1)]).toEqual([7, 7]);
  return into.slice(1, -1);
};

describe("packed columns", () => {
  it.each(["nchw", "nhwc"] as const)("keep pictures bit for bit in a byte an element (%s)", (layout) => {
    const uniform = seededRandom(1);
    // three channels with 256 values each, 768 in all
    const channel = (i: number) => (layout === "nchw" ? Math.floor(i / 64) : i % 3);
    const pictures = Array.from({ length: 3000 }, () =>
      Float32Array.from({ length: 192 }, (_, i) => Math.floor(uniform() * 256) / 255 - 0.3 * channel(i)),
    );
    const shape = layout === "nchw" ? [1, 3, 8, 8] : [1, 8, 8, 3];
    const column = new Column(float32Tensor(shape, pictures[0] as Float32Array), image(layout, 3, 8));
    for (const picture of pictures) column.append(float32Tensor(shape, picture));
    // 3000 x 192 bytes, rounded up to whole chunks of 1 MiB at most
    expect(column.bytes).toBeLessThan(3000 * 192 + 2 ** 20);
    expect(column.bytes).toBeGreaterThanOrEqual(3000 * 192);
    for (const i of [0, 1, 1499, 2999]) expect(read(column, i)).toEqual(pictures[i]);
  });
  it("go on with plain elements when values do not repeat", () => {
    const uniform = seededRandom(2);
    const coded = Array.from({ length: 40 }, (_, i) => Float32Array.from({ length: 6 }, (_, j) => (i + j) % 9));
    const plain = Array.from({ length: 100 }, () => Float32Array.from({ length: 6 }, uniform));
    const column = new Column(float32Tensor([1, 6], coded[0] as Float32Array), { kind: "tensor" });
    for (const values of [...coded, ...plain]) column.append(float32Tensor([1, 6], values));
    for (const [i, values] of [...coded, ...plain].entries()) expect(read(column, i)).toEqual(values);
  });
  it("tell −0, NaN and infinities apart", () => {
    const values = Float32Array.of(0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-45);
    const column = new Column(float32Tensor([1, 6], values), { kind: "tensor" });
    column.append(fromTypedArray("float32", [1, 6], values));
    expect(new Int32Array(read(column, 0).buffer)).toEqual(new Int32Array(values.buffer));
  });
  it("hold integers as they are", () => {
    const tensor = tensorOf("int64", [1, 3], [1, 2n ** 60n, -5]);
    const column = new Column(tensor, { kind: "tensor" });
    column.append(tensor);
    const into = new BigInt64Array(3);
    column.copyTo(0, into, 0);
    expect([...into]).toEqual([1n, 2n ** 60n, -5n]);
  });
});
