/**
 * What calibration keeps of a matrix product's input X [rows, columns]: X^T X and the sum of |X|, in double precision. Memory is
 * columns², however many rows went by.
 */
export class InputMoments {
  readonly columns: number;
  /** Rows seen so far. */
  rows = 0;
  /** X^T X, [columns, columns]. */
  readonly gram: Float64Array;
  /** Sum of |X| over rows, [columns]. */
  readonly magnitudes: Float64Array;
  /** Rows that are kept apart: codes are found on the others and judged on these. */
  held: InputMoments | undefined;

  constructor(columns: number) {
    this.columns = columns;
    this.gram = new Float64Array(columns * columns);
    this.magnitudes = new Float64Array(columns);
  }

  /** Bytes that the moments of one input take, held rows included. */
  static bytes(columns: number): number {
    return 16 * columns * (columns + 1);
  }

  /** What solutions are judged on: the held rows, where there are any. */
  get judge(): InputMoments {
    return this.held ?? this;
  }

  /** All rows together. */
  get total(): InputMoments {
    return this.held ? (sumOfMoments([this, this.held], false) as InputMoments) : this;
  }

  get totalRows(): number {
    return this.rows + (this.held?.rows ?? 0);
  }

  /** Adds rows, [n, columns]. */
  add(values: Float32Array): void {
    const { columns, gram, magnitudes } = this;
    for (let start = 0; start + columns <= values.length; start += columns) {
      this.rows++;
      for (let i = 0; i < columns; i++) {
        const value = values[start + i] as number;
        magnitudes[i] = (magnitudes[i] as number) + Math.abs(value);
        if (value === 0) continue;
        for (let j = 0; j < columns; j++)
          gram[i * columns + j] = (gram[i * columns + j] as number) + value * (values[start + j] as number);
      }
    }
  }

  /** Adds what a runtime has summed over `rows` rows. */
  addSums(rows: number, gram: Float32Array, magnitudes: Float32Array): void {
    this.rows += rows;
    addTo(this.gram, gram);
    addTo(this.magnitudes, magnitudes);
  }

  /** Moments of the input divided by `scales` [columns]. */
  divided(scales: Float64Array): InputMoments {
    const result = new InputMoments(this.columns);
    result.rows = this.rows;
    result.held = this.held?.divided(scales);
    const n = this.columns;
    for (let i = 0; i < n; i++) {
      result.magnitudes[i] = (this.magnitudes[i] as number) / (scales[i] as number);
      for (let j = 0; j < n; j++)
        result.gram[i * n + j] = (this.gram[i * n + j] as number) / ((scales[i] as number) * (scales[j] as number));
    }
    return result;
  }

  /** Mean square of each input channel, [columns]. */
  meanSquares(): Float64Array {
    return Float64Array.from({ length: this.columns }, (_, i) => (this.gram[i * (this.columns + 1)] as number) / this.rows);
  }

  /** How much an error in each channel's weights counts: mean squares, with a hundredth of their mean for channels that calibration never met. */
  importance(): Float64Array {
    const squares = this.meanSquares();
    const floor = (0.01 * squares.reduce((a, b) => a + b, 0)) / this.columns || 1;
    return squares.map((square) => square + floor);
  }
}

/** Moments of several inputs of the same matrix (a tied weight); their held rows are added up too, if `withHeld`. */
export function sumOfMoments(all: readonly InputMoments[], withHeld = true): InputMoments | undefined {
  if (all.length <= 1) return all[0];
  const result = new InputMoments((all[0] as InputMoments).columns);
  for (const { rows, gram, magnitudes } of all) {
    result.rows += rows;
    addTo(result.gram, gram);
    addTo(result.magnitudes, magnitudes);
  }
  if (withHeld)
    result.held = sumOfMoments(
      all.flatMap(({ held }) => held ?? []),
      false,
    );
  return result;
}

function addTo(sum: Float64Array, values: ArrayLike<number>): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (values[i] as number);
}
