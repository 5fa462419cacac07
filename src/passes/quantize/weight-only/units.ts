import { type Model, type Node, toFloat32, type Value } from "../../../ir/index.ts";
import { scaledMatrix } from "./awq.ts";
import { type BlockFormat, fittingBlock, storedBytes, type WeightBits } from "./blocks.ts";
import { InputMoments, sumOfMoments } from "./moments.ts";
import type { WeightOnlyParams } from "./params.ts";
import type { WeightUnit, WeightUse } from "./plan.ts";
import type { Matrix } from "./round.ts";
import { standardWeightOnly, type WeightOnlyRow } from "./row.ts";
import { scaleInput } from "./scale-input.ts";
import { type Solved, type SolveOptions, solve, solveGroup } from "./solve.ts";

/** A matrix and how it will be stored. */
export interface SolvedUnit {
  readonly unit: WeightUnit;
  solved: Solved;
  /** What its columns are multiplied by before storing. */
  readonly scales: Float64Array | undefined;
}

/** Multiplications spent on one estimate of an output error. */
const multiplications = 3e8;

export const weightRow = ({ row }: WeightOnlyParams): WeightOnlyRow => row.weightOnly ?? standardWeightOnly;

/** The constant as [rows, columns]. */
export function matrixOf({ tensor, rowAxis, rows, columns }: WeightUnit): Matrix {
  const values = toFloat32(tensor);
  if (rowAxis === 0) return { rows, columns, values };
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) turned[row * columns + column] = values[column * rows + row] as number;
  return { rows, columns, values: turned };
}

/** float16 has no small normal numbers below 2^−14: weights whose scales would lie there keep float32 ones. */
export function scaleType(values: Float32Array, wanted: BlockFormat["scales"]): BlockFormat["scales"] {
  if (wanted === "float32") return wanted;
  let [sum, largest] = [0, 0];
  for (const value of values) {
    sum += value * value;
    largest = Math.max(largest, Math.abs(value));
  }
  return Math.sqrt(sum / Math.max(1, values.length)) > 2 ** -12 && largest < 2 ** 15 ? wanted : "float32";
}

const isTable = ({ uses }: WeightUnit): boolean => uses.some(({ kind }) => kind === "table");
const isProduct = ({ uses }: WeightUnit): boolean => uses.some(({ kind }) => kind === "product");

/** Tables of standard ops are gathered as 8-bit rows; packed rows need whole bytes. */
function bitsOf(unit: WeightUnit, params: WeightOnlyParams): WeightBits {
  const special = unit.head ? params.headBits : isProduct(unit) ? undefined : params.tableBits;
  const wanted = special ?? params.bits;
  const wide = isTable(unit) && (weightRow(params).tables === "dequantize" || unit.columns % 2 === 1);
  return wide ? 8 : wanted;
}

export const isPadded = (unit: WeightUnit, params: WeightOnlyParams): boolean =>
  isProduct(unit) && weightRow(params).products === "nbits";

function formatOf(unit: WeightUnit, matrix: Matrix, bits: WeightBits, params: WeightOnlyParams): BlockFormat {
  const scales = scaleType(matrix.values, params.scales ?? weightRow(params).scales);
  const format = { bits, asymmetric: params.asymmetric, scales };
  return { ...format, block: fittingBlock(unit.columns, params.block, format, isPadded(unit, params)) };
}

const optionsOf = (format: BlockFormat, { algorithm, damping }: WeightOnlyParams): SolveOptions => ({
  format,
  algorithm,
  damping,
  multiplications,
});

/** Matrices that are solved together: all products with one input, or one matrix with several readers. */
interface Group {
  readonly units: WeightUnit[];
  /** Inputs of the products, by name. */
  readonly inputs: ReadonlyMap<string, Value>;
}

function groupsOf(units: readonly WeightUnit[]): Group[] {
  const byInput = new Map<Value, Group>();
  const groups: Group[] = [];
  for (const unit of units) {
    const products = unit.uses.filter(({ kind }) => kind === "product");
    const inputs = new Map(products.map(({ input }) => [input.name, input]));
    const input = unit.uses.length === 1 ? products[0]?.input : undefined;
    const known = input && byInput.get(input);
    if (known) {
      known.units.push(unit);
      continue;
    }
    const group = { units: [unit], inputs };
    groups.push(group);
    if (input) byInput.set(input, group);
  }
  return groups;
}

const columnsOf = ({ units }: Group): number => (units[0] as WeightUnit).columns;
const momentBytes = (group: Group): number => group.inputs.size * InputMoments.bytes(columnsOf(group));

/** Groups whose inputs' moments fit into memory together. */
function batchesOf(groups: readonly Group[], limit: number): Group[][] {
  const batches: Group[][] = [];
  let room = 0;
  for (const group of groups) {
    if (batches.length === 0 || momentBytes(group) > room) {
      batches.push([]);
      room = limit;
    }
    batches.at(-1)?.push(group);
    room -= momentBytes(group);
  }
  return batches;
}

/** Finds codes for all matrices; inputs that are worth scaling are scaled in the model at once. */
export async function solveUnits(model: Model, units: readonly WeightUnit[], params: WeightOnlyParams): Promise<SolvedUnit[]> {
  const fixed = new Set(units.flatMap(({ uses }) => uses.map(({ node }) => node)));
  const result = new Map<WeightUnit, SolvedUnit>();
  for (const batch of batchesOf(groupsOf(units), params.momentsLimit)) {
    const wanted = new Map<string, number>();
    for (const group of batch)
      if (momentBytes(group) <= params.momentsLimit) for (const name of group.inputs.keys()) wanted.set(name, columnsOf(group));
    const moments = wanted.size > 0 && params.moments ? await params.moments(wanted) : new Map<string, InputMoments>();
    for (const group of batch) for (const one of solveOne(model, group, moments, params, fixed)) result.set(one.unit, one);
  }
  return units.map((unit) => result.get(unit) as SolvedUnit);
}

/** Scaling an input must lower the error to this share of what it was where it costs nothing, and to the second one where it costs a Mul. */
const worthFolding = 0.98;
const worthMultiplying = 0.8;

function solveOne(
  model: Model,
  group: Group,
  moments: ReadonlyMap<string, InputMoments>,
  params: WeightOnlyParams,
  fixed: ReadonlySet<Node>,
): SolvedUnit[] {
  const own = [...group.inputs.keys()].flatMap((name) => moments.get(name) ?? []);
  const seen = own.length === group.inputs.size ? sumOfMoments(own) : undefined;
  const matrices = group.units.map(matrixOf);
  const options = group.units.map((unit, i) =>
    optionsOf(formatOf(unit, matrices[i] as Matrix, bitsOf(unit, params), params), params),
  );
  const [first] = group.units as [WeightUnit];
  const { plain, scaled } = solveGroup(matrices, seen, options, first.uses.length === 1 && isProduct(first));
  let moved: string | undefined;
  if (scaled && scaled.share < worthFolding) {
    const readers = new Set(group.units.flatMap(({ uses }) => uses.map(({ node }) => node)));
    const multiply = scaled.share < worthMultiplying;
    moved = scaleInput(model, (first.uses[0] as WeightUse).input, readers, scaled.scales, { fixed, multiply });
  }
  const used = moved ? scaled : undefined;
  const excess =
    params.moments && momentBytes(group) > params.momentsLimit
      ? `GPTQ and AWQ were left out: the moments of ${columnsOf(group)} input channels take more than ${params.momentsLimit} bytes`
      : undefined;
  return group.units.map((unit, i) => {
    const one = (used?.solved ?? plain)[i] as Solved;
    const algorithm = moved === "multiplied" ? `${one.algorithm}, input scaled by a Mul` : one.algorithm;
    const remark = isProduct(unit) ? one.remark && (excess ?? one.remark) : undefined;
    const known: SolvedUnit = { unit, scales: used?.scales, solved: { ...one, algorithm, remark } };
    return one.error > params.threshold && one.stored.bits === 4 ? raised(known, params, seen) : known;
  });
}

/** The same matrix in 8 bits. */
function raised({ unit, scales, solved }: SolvedUnit, params: WeightOnlyParams, moments?: InputMoments): SolvedUnit {
  const matrix = matrixOf(unit);
  const options = optionsOf(formatOf(unit, matrix, 8, params), { ...params, algorithm: "hqq" });
  const wide = scales ? solve(scaledMatrix(matrix, scales), moments?.divided(scales), options) : solve(matrix, moments, options);
  return {
    unit,
    scales,
    solved: { ...wide, algorithm: scales ? `awq+${wide.algorithm}` : wide.algorithm, remark: solved.remark },
  };
}

export const bytesOf = ({ unit, solved: { stored } }: SolvedUnit, params: WeightOnlyParams): number =>
  storedBytes(stored.rows, stored.columns, stored, isPadded(unit, params));

/** Raises the worst matrices of products to 8 bits, one after another, while their average size stays within `averageBits`. */
export function spendBits(solved: SolvedUnit[], params: WeightOnlyParams): void {
  const { averageBits } = params;
  if (averageBits === undefined) return;
  const products = [...solved.keys()].filter((i) => isProduct((solved[i] as SolvedUnit).unit));
  const at = (i: number): SolvedUnit => solved[i] as SolvedUnit;
  const weights = products.reduce((sum, i) => sum + at(i).unit.rows * at(i).unit.columns, 0);
  let bytes = products.reduce((sum, i) => sum + bytesOf(at(i), params), 0);
  for (const i of products.sort((a, b) => at(b).solved.error - at(a).solved.error)) {
    const one = at(i);
    if (one.solved.stored.bits === 8) continue;
    const wide = raised(one, params);
    const grown = bytes - bytesOf(one, params) + bytesOf(wide, params);
    if (8 * grown > averageBits * weights) continue;
    bytes = grown;
    solved[i] = wide;
  }
}
