import { type BlockedWeight, type BlockFormat, blocksPerRow, emptyBlocks, highestCode } from "./blocks.ts";
import { codeOf, fitGrid, type GridMethod } from "./grid.ts";

/** A matrix as the solvers see it: [rows, columns], the inner dimension of the product along a row. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

/** Rounds every entry to its block's grid by itself. `importance` [columns] weighs the errors while grids are chosen. */
export function roundMatrix(
  { rows, columns, values }: Matrix,
  format: BlockFormat,
  method: GridMethod,
  importance?: Float64Array,
): BlockedWeight {
  const result = emptyBlocks(rows, columns, format);
  const blocks = blocksPerRow(columns, format.block);
  const highest = highestCode(format.bits);
  for (let row = 0; row < rows; row++) {
    const entries = values.subarray(row * columns, (row + 1) * columns);
    for (let block = 0; block < blocks; block++) {
      const from = block * format.block;
      const to = Math.min(from + format.block, columns);
      const grid = fitGrid(entries, from, to, { format, method, importance });
      result.scales32[row * blocks + block] = grid.scale;
      result.zeroPoints[row * blocks + block] = grid.zero;
      for (let i = from; i < to; i++) result.codes[row * columns + i] = codeOf(entries[i] as number, grid, highest);
    }
  }
  return result;
}
