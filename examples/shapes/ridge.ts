// Ridge regression in closed form: W = (FᵀF + λnI)⁻¹ FᵀY on standardised features, by Cholesky's factorisation.

export interface Readout {
  /** [classes][features], row-major, for features as they come. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

/** Solves A·X = B in place for a symmetric positive definite A (n × n, row-major) and B (n × m); returns B. */
export function solveCholesky(a: Float64Array, b: Float64Array, n: number, m: number): Float64Array {
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j] as number;
      for (let k = 0; k < j; k++) sum -= (a[i * n + k] as number) * (a[j * n + k] as number);
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / (a[j * n + j] as number);
    }
  for (let column = 0; column < m; column++) {
    for (let i = 0; i < n; i++) {
      let sum = b[i * m + column] as number;
      for (let k = 0; k < i; k++) sum -= (a[i * n + k] as number) * (b[k * m + column] as number);
      b[i * m + column] = sum / (a[i * n + i] as number);
    }
    for (let i = n - 1; i >= 0; i--) {
      let sum = b[i * m + column] as number;
      for (let k = i + 1; k < n; k++) sum -= (a[k * n + i] as number) * (b[k * m + column] as number);
      b[i * m + column] = sum / (a[i * n + i] as number);
    }
  }
  return b;
}

/** Mean and standard deviation of each of `width` columns. */
function columnStatistics(rows: Float32Array, width: number): { mean: Float64Array; deviation: Float64Array } {
  const count = rows.length / width;
  const mean = new Float64Array(width);
  const deviation = new Float64Array(width);
  for (let i = 0; i < rows.length; i++) mean[i % width] = (mean[i % width] as number) + (rows[i] as number) / count;
  for (let i = 0; i < rows.length; i++) {
    const d = (rows[i] as number) - (mean[i % width] as number);
    deviation[i % width] = (deviation[i % width] as number) + (d * d) / count;
  }
  return { mean, deviation: deviation.map((v) => Math.sqrt(v) + 1e-6) };
}

/** Fits scores near 1 for a row's class and near 0 for the others; `sharpness` scales them, so that softmax gives sensible odds. */
export function fitReadout(
  features: Float32Array,
  labels: readonly number[],
  classes: number,
  lambda: number,
  sharpness: number,
): Readout {
  const count = labels.length;
  const width = features.length / count;
  const { mean, deviation } = columnStatistics(features, width);
  const gram = new Float64Array(width * width);
  const target = new Float64Array(width * classes);
  const row = new Float64Array(width);
  for (let n = 0; n < count; n++) {
    for (let i = 0; i < width; i++)
      row[i] = ((features[n * width + i] as number) - (mean[i] as number)) / (deviation[i] as number);
    const label = labels[n] as number;
    for (let i = 0; i < width; i++) {
      const value = row[i] as number;
      const offset = i * width;
      for (let j = 0; j <= i; j++) gram[offset + j] = (gram[offset + j] as number) + value * (row[j] as number);
      for (let c = 0; c < classes; c++) {
        const y = (c === label ? 1 : 0) - 1 / classes;
        target[i * classes + c] = (target[i * classes + c] as number) + value * y;
      }
    }
  }
  for (let i = 0; i < width; i++) gram[i * width + i] = (gram[i * width + i] as number) + lambda * count;
  const solution = solveCholesky(gram, target, width, classes);
  const weights = new Float32Array(classes * width);
  const bias = new Float32Array(classes);
  for (let c = 0; c < classes; c++)
    for (let i = 0; i < width; i++) {
      const weight = (sharpness * (solution[i * classes + c] as number)) / (deviation[i] as number);
      weights[c * width + i] = weight;
      bias[c] = (bias[c] as number) - weight * (mean[i] as number);
    }
  return { weights, bias };
}
