import { type AttributeInput, bitsOf, type DataType, isFloat, isInteger, numel, Tensor, tensorOf } from "../../src/ir/index.ts";
import { seededRandom } from "../../src/util/random.ts";

/** How far results of two implementations may differ, and why that much. */
export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
  readonly reason: string;
}

/** An input of a case: a tensor made from the case's seed. `constant` makes it an initializer instead of a graph input. */
export interface CaseInput {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly constant: boolean;
  readonly make: (uniform: () => number) => Tensor;
}

export interface OpCase {
  /** What is special about it; unique among the cases of its op. */
  readonly name: string;
  /** undefined leaves an optional input out. */
  readonly inputs: readonly (CaseInput | undefined)[];
  /** Plain numbers become "int" or "float" as the op's record says. */
  readonly attributes?: Readonly<Record<string, AttributeInput>>;
  /** Outputs asked for: how many, or a list where false leaves one out. Default 1. */
  readonly outputs?: number | readonly boolean[];
  readonly opset?: number;
  readonly tolerance?: Tolerance;
  /** Why onnxruntime's CPU build cannot run it; the suite checks that it really cannot. Types of the outputs are then given. */
  readonly noKernel?: string;
  readonly expected?: readonly (readonly [DataType, readonly number[]])[];
  /** Why the shape cannot be inferred: extents may come out as "?" (or the rank as unknown). */
  readonly dataDependent?: string;
  /** The same, with symbolic input extents only. */
  readonly symbolicUnknown?: string;
  /** Why the test of channel links leaves this case out. */
  readonly uncut?: string;
  /** Links hold once the removed entries carry nothing (a recurrent state feeds all others): why. */
  readonly cutZeroed?: string;
}

export interface OpCases {
  readonly type: string;
  readonly domain: string;
  readonly opset: number;
  readonly cases: readonly OpCase[];
}

/** The cases of one op: used for shapes and channel links here, later for gradients, targets and benchmarks. `uncut`: for all of them. */
export function opCases(
  type: string,
  cases: readonly OpCase[],
  options: { readonly domain?: string; readonly opset?: number; readonly uncut?: string } = {},
): OpCases {
  const names = new Set(cases.map(({ name }) => name));
  if (names.size !== cases.length) throw new Error(`two cases of ${type} have the same name`);
  const { domain = "", opset = 21, uncut } = options;
  return { type, domain, opset, cases: cases.map((one) => (uncut === undefined ? one : { uncut, ...one })) };
}

export interface RandomOptions {
  readonly dtype?: DataType;
  /** Uniform in [low, high]; default −1..1, for integers the whole numbers between −8 and 8 (unsigned: 0 and 16). */
  readonly low?: number;
  readonly high?: number;
}

function fill(dtype: DataType, shape: readonly number[], options: RandomOptions, uniform: () => number): Tensor {
  const size = numel(shape);
  if (dtype === "bool")
    return tensorOf(
      dtype,
      shape,
      Array.from({ length: size }, () => Number(uniform() < 0.5)),
    );
  if (isFloat(dtype)) {
    const { low = -1, high = 1 } = options;
    return tensorOf(
      dtype,
      shape,
      Array.from({ length: size }, () => low + (high - low) * uniform()),
    );
  }
  if (!isInteger(dtype)) throw new Error(`no random tensors of type ${dtype}`);
  if (bitsOf(dtype) < 8) {
    const bytes = new Uint8Array(Math.ceil((size * bitsOf(dtype)) / 8));
    return new Tensor(
      dtype,
      shape,
      bytes.map(() => Math.floor(256 * uniform())),
    );
  }
  const { low = dtype.startsWith("u") ? 0 : -8, high = dtype.startsWith("u") ? 16 : 8 } = options;
  return tensorOf(
    dtype,
    shape,
    Array.from({ length: size }, () => low + Math.floor((high - low + 1) * uniform())),
  );
}

/** A fed input with uniform random contents. */
export const random = (shape: readonly number[], options: RandomOptions = {}): CaseInput => {
  const dtype = options.dtype ?? "float32";
  return { dtype, shape, constant: false, make: (uniform) => fill(dtype, shape, options, uniform) };
};

/** A random initializer. */
export const weight = (shape: readonly number[], options: RandomOptions = {}): CaseInput => ({
  ...random(shape, options),
  constant: true,
});

const given = (tensor: Tensor, constant: boolean): CaseInput => ({
  dtype: tensor.dtype,
  shape: tensor.shape,
  constant,
  make: () => tensor,
});
/** An initializer with these values. */
export const constant = (dtype: DataType, shape: readonly number[], values: readonly (number | bigint)[]): CaseInput =>
  given(tensorOf(dtype, shape, values), true);
/** A fed input with these values. */
export const fed = (dtype: DataType, shape: readonly number[], values: readonly (number | bigint)[]): CaseInput =>
  given(tensorOf(dtype, shape, values), false);
export const scalar = (dtype: DataType, value: number): CaseInput => constant(dtype, [], [value]);
/** An int64 vector as an initializer: axes, shapes, pads. */
export const int64s = (...values: readonly number[]): CaseInput => constant("int64", [values.length], values);

/** The tensors of a case: the same on every machine, different for every case and input. */
export function caseTensors(cases: OpCases, index: number): (Tensor | undefined)[] {
  const seed = [...`${cases.domain}:${cases.type}:${index}`].reduce((hash, c) => Math.imul(hash, 31) + c.charCodeAt(0), 7);
  const uniform = seededRandom(seed);
  return (cases.cases[index] as OpCase).inputs.map((input) => input?.make(uniform));
}
