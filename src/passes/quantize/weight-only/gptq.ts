import { type BlockedWeight, type BlockFormat, blocksPerRow, emptyBlocks, highestCode } from "./blocks.ts";
import { codeOf, fitGrid, type Grid, type GridRequest } from "./grid.ts";
import { inverseFactor } from "./hessian.ts";
import type { InputMoments } from "./moments.ts";
import type { Matrix } from "./round.ts";

export interface GptqOptions {
  /** Part of the Hessian's mean diagonal that is added to the diagonal; raised tenfold until the matrix can be inverted. */
  readonly damping: number;
  /** Round columns from the strongest input to the weakest, with grids fixed beforehand; otherwise in place order, with grids as they come. */
  readonly sorted: boolean;
}

/**
 * GPTQ (Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022): columns are rounded
 * one after another, and each one's error is made up for by those that follow, along the inverse of H = X^T X. Undefined where H cannot
 * be inverted.
 */
export function gptq(
  matrix: Matrix,
  format: BlockFormat,
  moments: InputMoments,
  { damping, sorted }: GptqOptions,
): BlockedWeight | undefined {
  const order = sorted ? strongestFirst(moments) : undefined;
  let factor: Float64Array | undefined;
  for (let tries = 0; tries < 4 && !factor; tries++)
    factor = inverseFactor(moments.gram, moments.columns, damping * 10 ** tries, order);
  if (!factor) return undefined;
  const result = emptyBlocks(matrix.rows, matrix.columns, format);
  const request: GridRequest = { format, method: "hqq", importance: moments.importance() };
  for (let row = 0; row < matrix.rows; row++) roundRow(matrix, row, result, { factor, order, request });
  return result;
}

function strongestFirst(moments: InputMoments): Int32Array {
  const strength = moments.meanSquares();
  return Int32Array.from({ length: moments.columns }, (_, i) => i).sort(
    (a, b) => (strength[b] as number) - (strength[a] as number) || a - b,
  );
}

interface RowContext {
  readonly factor: Float64Array;
  readonly order: Int32Array | undefined;
  readonly request: GridRequest;
}

function roundRow({ columns, values }: Matrix, row: number, result: BlockedWeight, context: RowContext): void {
  const { factor, order, request } = context;
  const { block, bits } = request.format;
  const blocks = blocksPerRow(columns, block);
  const highest = highestCode(bits);
  const w = Float64Array.from(values.subarray(row * columns, (row + 1) * columns));
  const grids = new Array<Grid | undefined>(blocks);
  for (let k = 0; k < columns; k++) {
    const column = order ? (order[k] as number) : k;
    const of = Math.floor(column / block);
    // in place order a block's entries are touched only by errors of earlier blocks when its grid is made; sorted, none has been yet
    let grid = grids[of];
    if (!grid) {
      const source = order ? values.subarray(row * columns, (row + 1) * columns) : w;
      grid = fitGrid(source, of * block, Math.min((of + 1) * block, columns), request);
      grids[of] = grid;
      result.scales32[row * blocks + of] = grid.scale;
      result.zeroPoints[row * blocks + of] = grid.zero;
    }
    const code = codeOf(w[column] as number, grid, highest);
    result.codes[row * columns + column] = code;
    const error = ((w[column] as number) - (code - grid.zero) * grid.scale) / (factor[k * (columns + 1)] as number);
    if (error === 0) continue;
    if (!order) for (let j = k + 1; j < columns; j++) w[j] = (w[j] as number) - error * (factor[k * columns + j] as number);
    else
      for (let j = k + 1; j < columns; j++) {
        const at = order[j] as number;
        w[at] = (w[at] as number) - error * (factor[k * columns + j] as number);
      }
  }
}
