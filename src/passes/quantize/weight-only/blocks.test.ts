import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededNormal, seededRandom } from "../../../util/random.ts";
import { type BlockFormat, dequantizeBlocks, fittingBlock, packRows, storedBytes, unpackRows } from "./blocks.ts";
import { fitGrid } from "./grid.ts";
import { roundMatrix } from "./round.ts";

const symmetric: BlockFormat = { bits: 4, block: 16, asymmetric: false, scales: "float32" };
const gaussian = (count: number, seed = 1): Float32Array => {
  const normal = seededNormal(seededRandom(seed));
  return Float32Array.from({ length: count }, normal);
};
const squared = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + (x - (b[i] as number)) ** 2, 0);

describe("packed rows", () => {
  test("come back as they were, whatever rows are filled up to", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(4 as const, 8 as const),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 17 }),
        fc.infiniteStream(fc.nat(255)),
        (bits, rows, columns, more, numbers) => {
          const codes = Uint8Array.from({ length: rows * columns }, () => (numbers.next().value as number) % 2 ** bits);
          const shape = { rows, columns, width: columns + more, bits };
          const packed = packRows(codes, { ...shape, filler: 2 ** (bits - 1) });
          expect(packed.length).toBe(rows * Math.ceil(((columns + more) * bits) / 8));
          expect(unpackRows(packed, shape)).toEqual(codes);
        },
      ),
    );
  });

  test("hold the first entry in the low half of a byte", () => {
    expect([...packRows(Uint8Array.of(1, 2, 3), { rows: 1, columns: 3, width: 4, bits: 4, filler: 8 })]).toEqual([0x21, 0x83]);
  });

  test("rows that do not fill a block take a smaller one, if that takes less", () => {
    const half = { bits: 4, asymmetric: false, scales: "float16" } as const;
    expect(fittingBlock(48, 32, half, true)).toBe(16);
    expect(fittingBlock(96, 32, half, true)).toBe(32);
    expect(fittingBlock(1000, 128, half, true)).toBe(128);
    expect(fittingBlock(48, 32, half, false)).toBe(32);
    expect(storedBytes(1, 48, { ...half, block: 16 }, true)).toBe(24 + 6);
    expect(storedBytes(1, 48, { ...half, block: 32 }, true)).toBe(32 + 4);
    expect(storedBytes(2, 40, { bits: 4, block: 32, asymmetric: true, scales: "float32" }, false)).toBe(2 * (20 + 8 + 1));
  });
});

describe("grids", () => {
  test("−8 is used: sixteen equidistant weights are stored without loss, in either sign", () => {
    for (const sign of [1, -1]) {
      const values = Float32Array.from({ length: 16 }, (_, i) => sign * (i - 8) * 0.25);
      const stored = roundMatrix({ rows: 1, columns: 16, values }, symmetric, "rtn");
      expect(new Set(stored.codes).size).toBe(16);
      expect(dequantizeBlocks(stored)).toEqual(values);
      expect(Math.sign(stored.scales32[0] as number)).toBe(sign);
    }
  });

  test("a block with both extremes takes the narrow grid where that errs less", () => {
    const values = Float32Array.from({ length: 16 }, (_, i) => (i < 8 ? 7 : -7));
    expect(dequantizeBlocks(roundMatrix({ rows: 1, columns: 16, values }, symmetric, "rtn"))).toEqual(values);
  });

  test("zero points serve blocks that lie on one side", () => {
    const values = gaussian(512).map((x) => 3 + 0.1 * x);
    const matrix = { rows: 4, columns: 128, values };
    const error = (asymmetric: boolean, method: "rtn" | "hqq") =>
      squared(dequantizeBlocks(roundMatrix(matrix, { ...symmetric, block: 32, asymmetric }, method)), values);
    // the range starts at zero, which stays exact
    expect(error(true, "rtn")).toBeLessThan(0.35 * error(false, "rtn"));
  });

  test.each([
    [4, false],
    [4, true],
    [8, false],
  ] as const)("HQQ errs less than plain rounding at %i bits (asymmetric: %s) and never more in a block", (bits, asymmetric) => {
    const values = gaussian(64 * 64);
    const format = { ...symmetric, bits, asymmetric, block: 64 };
    const matrix = { rows: 64, columns: 64, values };
    const rtn = dequantizeBlocks(roundMatrix(matrix, format, "rtn"));
    const hqq = dequantizeBlocks(roundMatrix(matrix, format, "hqq"));
    expect(squared(hqq, values)).toBeLessThan(0.99 * squared(rtn, values));
    for (let row = 0; row < 64; row++) {
      const of = (all: Float32Array) => all.subarray(64 * row, 64 * row + 64);
      expect(squared(of(hqq), of(values))).toBeLessThanOrEqual(squared(of(rtn), of(values)) + 1e-9);
    }
  });

  test("blocks of zeros, and of numbers that vanish in float16, become zeros", () => {
    const values = new Float32Array(32);
    values.fill(1e-12, 16);
    const stored = roundMatrix({ rows: 1, columns: 32, values }, { ...symmetric, scales: "float16" }, "hqq");
    expect([...dequantizeBlocks(stored)]).toEqual(new Array(32).fill(0));
  });

  test("importance moves a grid towards what counts", () => {
    const values = [0.1, 0.2, -0.15, 0.05, 4];
    const importance = Float64Array.of(1, 1, 1, 1, 0);
    const request = { format: symmetric, method: "hqq" as const };
    const at = (given?: Float64Array) => Math.abs(fitGrid(values, 0, 5, { ...request, importance: given }).scale);
    expect(at(importance)).toBeLessThanOrEqual(at());
  });
});
