import { type BlockFormat, highestCode, middle, storedScale } from "./blocks.ts";

/** The grid of one block: real = (code − zero) · scale. */
export interface Grid {
  readonly scale: number;
  readonly zero: number;
}

/** How a block's grid is found: "rtn" from its extremes, "hqq" refined by half-quadratic optimization. */
export type GridMethod = "rtn" | "hqq";

export interface GridRequest {
  readonly format: BlockFormat;
  readonly method: GridMethod;
  /** Mean square of the input that each entry meets; errors count in proportion. Undefined: all alike. */
  readonly importance?: Float64Array | undefined;
}

export const codeOf = (value: number, { scale, zero }: Grid, highest: number): number => {
  const code = Math.round(value / scale) + zero;
  return code < 0 ? 0 : Math.min(code, highest);
};

/**
 * The grid of the entries `from`..`to` of a row. Symmetric grids use all codes: the largest magnitude becomes −2^(bits−1) exactly
 * (the scale takes its sign), or ±(2^(bits−1) − 1), whichever errs less.
 */
export function fitGrid(values: ArrayLike<number>, from: number, to: number, request: GridRequest): Grid {
  const starts = startGrids(values, from, to, request.format);
  let best: Grid = starts[0] as Grid;
  let least = Number.POSITIVE_INFINITY;
  for (const start of starts)
    for (const grid of request.method === "hqq" ? [start, ...halfQuadratic(values, from, to, start, request)] : [start]) {
      const error = gridError(values, from, to, grid, request);
      if (error < least) [best, least] = [grid, error];
    }
  return best;
}

const usable = (scale: number, { scales }: BlockFormat): number => {
  const stored = storedScale(scale, scales);
  return stored !== 0 && Number.isFinite(stored) ? stored : 1; // all of the block rounds to zero
};

function startGrids(values: ArrayLike<number>, from: number, to: number, format: BlockFormat): Grid[] {
  let [low, high] = [0, 0];
  for (let i = from; i < to; i++) {
    const value = values[i] as number;
    if (value < low) low = value;
    else if (value > high) high = value;
  }
  const half = middle(format.bits);
  if (!format.asymmetric) {
    const extreme = -low > high ? low : high;
    return [extreme / -half, Math.abs(extreme) / (half - 1)].map((scale) => ({ scale: usable(scale, format), zero: half }));
  }
  const highest = highestCode(format.bits);
  const scale = usable((high - low) / highest, format);
  return [{ scale, zero: Math.min(highest, Math.max(0, Math.round(-low / scale))) }];
}

function gridError(values: ArrayLike<number>, from: number, to: number, grid: Grid, { format, importance }: GridRequest): number {
  const highest = highestCode(format.bits);
  let sum = 0;
  for (let i = from; i < to; i++) {
    const value = values[i] as number;
    const error = (codeOf(value, grid, highest) - grid.zero) * grid.scale - value;
    sum += error * error * (importance ? (importance[i] as number) : 1);
  }
  return sum;
}

const iterations = 20;
/** The norm's power and the weight of its quadratic surrogate, grown each round: the authors' settings, in units of one step. */
const power = 0.7;
const firstBeta = 10;
const growth = 1.01;

/**
 * Half-Quadratic Quantization (Badri & Shaji, "Half-Quadratic Quantization of Large Machine Learning Models", 2023): min ‖w − ŵ‖_p, p < 1,
 * split by an auxiliary error e that a generalized soft threshold solves for; zero point, then scale, follow in closed form. Gives the
 * grids of all rounds until the mean error stops falling.
 */
function* halfQuadratic(values: ArrayLike<number>, from: number, to: number, start: Grid, request: GridRequest): Generator<Grid> {
  let grid = start;
  let beta = firstBeta;
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < iterations; round++) {
    const next = updated(values, from, to, grid, beta, request);
    const error = meanError(values, from, to, next, request);
    if (error >= least || (next.scale === grid.scale && next.zero === grid.zero)) return;
    least = error;
    grid = next;
    beta *= growth;
    yield grid;
  }
}

function updated(
  values: ArrayLike<number>,
  from: number,
  to: number,
  grid: Grid,
  beta: number,
  { format, importance }: GridRequest,
): Grid {
  const highest = highestCode(format.bits);
  let [shift, total, cross, square] = [0, 0, 0, 0];
  const zero = (): number => (format.asymmetric ? Math.min(highest, Math.max(0, Math.round(shift / total))) : grid.zero);
  const targets = new Float64Array(to - from);
  const codes = new Float64Array(to - from);
  for (let i = from; i < to; i++) {
    const value = (values[i] as number) / grid.scale; // in steps
    const code = codeOf(values[i] as number, grid, highest);
    const rest = value - (code - grid.zero);
    const target = value - shrink(rest, beta);
    const weight = importance ? (importance[i] as number) : 1;
    targets[i - from] = target;
    codes[i - from] = code;
    shift += weight * (code - target);
    total += weight;
  }
  const moved = total > 0 ? zero() : grid.zero;
  for (let i = 0; i < codes.length; i++) {
    const weight = importance ? (importance[from + i] as number) : 1;
    const level = (codes[i] as number) - moved;
    cross += weight * level * (targets[i] as number);
    square += weight * level * level;
  }
  const scale = square > 0 && cross > 0 ? (grid.scale * cross) / square : grid.scale;
  return { scale: usable(scale, format), zero: moved };
}

/** Generalized soft threshold of the p-norm: what is left of a residual once its likely rounding error is taken off. */
function shrink(x: number, beta: number): number {
  const size = Math.abs(x);
  if (size === 0) return 0;
  const left = size - size ** (power - 1) / beta;
  return left > 0 ? Math.sign(x) * left : 0;
}

function meanError(values: ArrayLike<number>, from: number, to: number, grid: Grid, { format, importance }: GridRequest): number {
  const highest = highestCode(format.bits);
  let sum = 0;
  for (let i = from; i < to; i++) {
    const value = values[i] as number;
    const error = Math.abs((codeOf(value, grid, highest) - grid.zero) * grid.scale - value);
    sum += error * (importance ? (importance[i] as number) : 1);
  }
  return sum;
}
