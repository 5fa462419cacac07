import { describe, expect, test } from "vitest";
import { seededNormal, seededRandom } from "../../../util/random.ts";
import { type BlockFormat, dequantizeBlocks } from "./blocks.ts";
import { gptq } from "./gptq.ts";
import { inverseFactor, outputError, relativeError, sampledRows } from "./hessian.ts";
import { InputMoments, sumOfMoments } from "./moments.ts";
import { type Matrix, roundMatrix } from "./round.ts";
import { type SolveOptions, solve, solveGroup } from "./solve.ts";

const format: BlockFormat = { bits: 4, block: 32, asymmetric: false, scales: "float32" };
const options: SolveOptions = { format, algorithm: "auto", damping: 0.01, multiplications: 1e9 };
const normal = (seed: number) => seededNormal(seededRandom(seed));

const matrixOf = (rows: number, columns: number, seed = 3): Matrix => {
  const next = normal(seed);
  return { rows, columns, values: Float32Array.from({ length: rows * columns }, () => 0.1 * next()) };
};

/** Rows whose channels share a few causes: X = Z·C + noise. */
function correlatedRows(rows: number, columns: number, seed = 5): Float32Array {
  const next = normal(seed);
  const causes = 6;
  const mix = Float64Array.from({ length: causes * columns }, next);
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const z = Float64Array.from({ length: causes }, next);
    for (let column = 0; column < columns; column++) {
      let sum = 0.1 * next();
      for (let c = 0; c < causes; c++) sum += (z[c] as number) * (mix[c * columns + column] as number);
      values[row * columns + column] = sum;
    }
  }
  return values;
}

function momentsOf(values: Float32Array, columns: number): InputMoments {
  const moments = new InputMoments(columns);
  moments.add(values);
  return moments;
}

describe("moments and Hessian", () => {
  test("tr(E H E^T) is the squared error of the products", () => {
    const [rows, columns] = [20, 12];
    const x = correlatedRows(rows, columns);
    const w = matrixOf(5, columns);
    const changed = matrixOf(5, columns, 4).values;
    let direct = 0;
    for (let r = 0; r < rows; r++)
      for (let n = 0; n < 5; n++) {
        let sum = 0;
        for (let k = 0; k < columns; k++)
          sum += (x[r * columns + k] as number) * ((changed[n * columns + k] as number) - (w.values[n * columns + k] as number));
        direct += sum * sum;
      }
    expect(outputError(changed, w.values, columns, momentsOf(x, columns).gram)).toBeCloseTo(direct, 6);
  });

  test("the factor is one of the damped inverse, in any order", () => {
    const n = 24;
    const { gram } = momentsOf(correlatedRows(100, n), n);
    const order = Int32Array.from({ length: n }, (_, i) => (i * 7) % n);
    for (const by of [undefined, order]) {
      const u = inverseFactor(gram, n, 0.01, by) as Float64Array;
      const ridge = (0.01 * Array.from({ length: n }, (_, i) => gram[i * (n + 1)] as number).reduce((a, b) => a + b, 0)) / n;
      const at = (i: number) => (by ? (by[i] as number) : i);
      for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++) {
          let sum = 0; // (U^T U · H)_ij
          for (let k = 0; k < n; k++) {
            let inverse = 0;
            for (let m = 0; m < n; m++) inverse += (u[m * n + i] as number) * (u[m * n + k] as number);
            sum += inverse * ((gram[at(k) * n + at(j)] as number) + (k === j ? ridge : 0));
          }
          expect(sum).toBeCloseTo(i === j ? 1 : 0, 6);
        }
    }
  });

  test("moments add up and scale", () => {
    const [a, b] = [correlatedRows(10, 8, 1), correlatedRows(6, 8, 2)];
    const both = new Float32Array([...a, ...b]);
    const sum = sumOfMoments([momentsOf(a, 8), momentsOf(b, 8)]) as InputMoments;
    expect(sum.rows).toBe(16);
    sum.gram.forEach((value, i) => {
      expect(value).toBeCloseTo(momentsOf(both, 8).gram[i] as number, 6);
    });
    const scales = Float64Array.from({ length: 8 }, (_, i) => 2 ** (i - 4));
    const divided = momentsOf(
      both.map((x, i) => x / (scales[i % 8] as number)),
      8,
    );
    sum.divided(scales).gram.forEach((value, i) => {
      expect(value / (divided.gram[i] as number)).toBeCloseTo(1, 5);
    });
  });

  test("large matrices are estimated on evenly picked rows", () => {
    const sample = sampledRows(matrixOf(1000, 16), 100 * 256);
    expect(sample.rows).toBe(100);
    expect(sample.values.slice(16, 32)).toEqual(matrixOf(1000, 16).values.slice(160, 176));
  });
});

describe("GPTQ", () => {
  const columns = 96;
  const matrix = matrixOf(32, columns);
  const all = correlatedRows(800, columns);
  const moments = momentsOf(all.subarray(0, 400 * columns), columns);

  test.each([false, true])("changes correlated products less than half as much as rounding (sorted: %s)", (sorted) => {
    const plain = relativeError(roundMatrix(matrix, format, "rtn"), matrix, moments.gram);
    const stored = gptq(matrix, format, moments, { damping: 0.01, sorted });
    expect(relativeError(stored as NonNullable<typeof stored>, matrix, moments.gram)).toBeLessThan(0.5 * plain);
    // on rows of the same kind that it never saw, too
    const fresh = momentsOf(all.subarray(400 * columns), columns);
    expect(relativeError(stored as NonNullable<typeof stored>, matrix, fresh.gram)).toBeLessThan(0.6 * plain);
  });

  test("without correlation nothing is to be gained, and little lost", () => {
    const next = normal(11);
    const white = momentsOf(
      Float32Array.from({ length: 4000 * columns }, () => next()),
      columns,
    );
    const plain = relativeError(roundMatrix(matrix, format, "hqq"), matrix, white.gram);
    const stored = gptq(matrix, format, white, { damping: 0.01, sorted: false });
    expect(relativeError(stored as NonNullable<typeof stored>, matrix, white.gram)).toBeLessThan(1.05 * plain);
  });

  test("the least output error wins, and the same run gives the same codes", () => {
    const [a, b] = [solve(matrix, moments, options), solve(matrix, moments, options)];
    expect(a.algorithm).toMatch(/^gptq/);
    expect(a.remark).toBeUndefined();
    expect(a.stored.codes).toEqual(b.stored.codes);
    for (const algorithm of ["rtn", "hqq", "gptq"] as const)
      expect(a.error).toBeLessThanOrEqual(solve(matrix, moments, { ...options, algorithm }).error);
  });

  test("held rows judge: what fits the others alone does not win, and the winner is found from all rows", () => {
    const next = normal(31);
    const noise = (rows: number) => Float32Array.from({ length: rows * columns }, () => next());
    // barely as many rows as columns, no correlation: compensation would only fit the noise
    const given = momentsOf(noise(columns), columns);
    given.held = momentsOf(noise(columns), columns);
    expect(solve(matrix, momentsOf(noise(columns), columns), options).algorithm).toMatch(/^gptq/);
    expect(solve(matrix, given, options).algorithm).toBe("hqq");
    const [a, b] = [
      momentsOf(all.subarray(0, 200 * columns), columns),
      momentsOf(all.subarray(200 * columns, 400 * columns), columns),
    ];
    a.held = b;
    const solved = solve(matrix, a, options);
    const whole = solve(matrix, moments, { ...options, algorithm: "gptq" });
    expect(solved.algorithm).toMatch(/^gptq/);
    expect(relativeError(solved.stored, matrix, moments.gram)).toBeLessThan(1.2 * whole.error);
  });

  test("fewer rows than columns: rounding instead, and a word about it", () => {
    const few = momentsOf(correlatedRows(columns - 1, columns), columns);
    for (const algorithm of ["auto", "gptq", "awq"] as const) {
      const solved = solve(matrix, few, { ...options, algorithm });
      expect(solved.algorithm).toMatch(/^(rtn|hqq)$/);
      expect(solved.remark).toContain("95 calibration rows for 96 input channels are too few");
    }
    expect(solve(matrix, undefined, { ...options, algorithm: "gptq" }).remark).toContain("no calibration rows");
    expect(solve(matrix, few, { ...options, algorithm: "hqq" }).remark).toBeUndefined();
  });

  test("channels that met no input do no harm", () => {
    const rows = correlatedRows(400, columns).map((x, i) => (i % columns < 4 ? 0 : x));
    const solved = solve(matrix, momentsOf(rows, columns), options);
    expect(Number.isFinite(solved.error)).toBe(true);
    expect(dequantizeBlocks(solved.stored).every(Number.isFinite)).toBe(true);
  });
});

describe("AWQ", () => {
  const columns = 64;
  const matrices = [matrixOf(24, columns), matrixOf(8, columns, 9)];
  const next = normal(21);
  /** One channel in sixteen is strong. */
  const rows = Float32Array.from({ length: 500 * columns }, (_, i) => (i % 16 === 0 ? 30 : 1) * next());
  const moments = momentsOf(rows, columns);

  test("scales strong channels up where that lowers the error of all products with the input", () => {
    const awq = { ...options, algorithm: "awq" as const };
    const { plain, scaled } = solveGroup(matrices, moments, [awq, awq], true);
    expect(scaled?.share).toBeLessThan(0.7);
    expect(scaled?.solved[0]?.algorithm).toBe("awq+rtn");
    const scales = scaled?.scales as Float64Array;
    expect(scales[0]).toBeGreaterThan(scales[1] as number);
    // in terms of the unscaled input: W ≈ stored / s
    const matrix = matrices[0] as Matrix;
    const stored = scaled?.solved[0]?.stored as Parameters<typeof dequantizeBlocks>[0];
    const back = dequantizeBlocks(stored).map((value, i) => value / (scales[i % columns] as number));
    const zero = new Float32Array(matrix.values.length);
    const error =
      outputError(back, matrix.values, columns, moments.gram) / outputError(zero, matrix.values, columns, moments.gram);
    expect(error).toBeCloseTo(scaled?.solved[0]?.error as number, 9);
    expect(error).toBeLessThan(plain[0]?.error as number);
  });

  test("is not tried where the input cannot be scaled, nor kept where all channels are alike", () => {
    expect(solveGroup(matrices, moments, [options, options], false).scaled).toBeUndefined();
    const even = momentsOf(
      rows.map((x, i) => (i % 16 === 0 ? x / 30 : x)),
      columns,
    );
    const { scaled } = solveGroup(matrices, even, [options, options], true);
    expect(scaled?.share ?? 1).toBeGreaterThan(0.9);
  });
});
