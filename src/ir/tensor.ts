import { EdgewrightError } from "../util/errors.ts";
import { bitsOf, byteLength, type DataType } from "./dtype.ts";
import { float16ToNumber, numberToBfloat16, numberToFloat16 } from "./float16.ts";
import { numel } from "./shape.ts";

/** Where an external tensor's bytes live; kept so that writing can put them back. */
export interface ExternalLocation {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/**
 * An immutable tensor, row-major, little-endian. Bytes may be a view on a file or loaded on first use; nobody may write to them.
 * String tensors hold `strings` and no bytes.
 */
export class Tensor {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly external: ExternalLocation | undefined;
  readonly strings: readonly string[] | undefined;
  /** Encoded fields of the file's record that have no place here (doc string, metadata), written back as they are. */
  readonly fields: Uint8Array | undefined;
  readonly #source: Uint8Array | (() => Uint8Array);

  constructor(
    dtype: DataType,
    shape: readonly number[],
    source: Uint8Array | (() => Uint8Array),
    extra: { external?: ExternalLocation; strings?: readonly string[]; fields?: Uint8Array | undefined } = {},
  ) {
    this.dtype = dtype;
    this.shape = shape;
    this.#source = source;
    this.external = extra.external;
    this.strings = extra.strings;
    this.fields = extra.fields;
  }

  get size(): number {
    return numel(this.shape);
  }

  get byteLength(): number {
    return byteLength(this.dtype, this.size);
  }

  /** The bytes themselves, not a copy. External tensors are read anew each time: nothing is cached, so memory stays flat. */
  bytes(): Uint8Array {
    const bytes = typeof this.#source === "function" ? this.#source() : this.#source;
    if (this.dtype !== "string" && bytes.byteLength !== this.byteLength)
      throw new EdgewrightError(
        "TENSOR_SIZE",
        `A ${this.dtype} tensor of shape [${this.shape}] needs ${this.byteLength} bytes but has ${bytes.byteLength}.`,
      );
    return bytes;
  }

  /** The same bytes under another shape of equal size. */
  reshape(shape: readonly number[]): Tensor {
    return new Tensor(this.dtype, shape, this.#source, this.strings ? { strings: this.strings } : {});
  }
}

const arrays = {
  float32: Float32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  float16: Uint16Array,
  float64: Float64Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bfloat16: Uint16Array,
} as const;
export type ArrayDataType = keyof typeof arrays;
export type TypedArray<D extends ArrayDataType = ArrayDataType> = InstanceType<(typeof arrays)[D]>;

export const arrayConstructor = (dtype: DataType): (typeof arrays)[ArrayDataType] => {
  const ArrayType = arrays[dtype as ArrayDataType];
  if (!ArrayType) throw new EdgewrightError("DTYPE_NO_ARRAY", `Elements of type ${dtype} have no JavaScript array.`);
  return ArrayType;
};

/** The elements as a typed array: a view when the bytes are aligned, else a copy. float16 and bfloat16 come as raw 16-bit patterns. */
export function typedArray<D extends ArrayDataType>(tensor: Tensor & { dtype: D }): TypedArray<D>;
export function typedArray(tensor: Tensor): TypedArray;
export function typedArray(tensor: Tensor): TypedArray {
  const ArrayType = arrayConstructor(tensor.dtype);
  const bytes = tensor.bytes();
  const aligned = bytes.byteOffset % ArrayType.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes); // not slice(): Node's Buffer makes a view of it
  return new ArrayType(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / ArrayType.BYTES_PER_ELEMENT);
}

/** Sub-byte elements, unpacked to one number each. */
function unpack(tensor: Tensor): number[] {
  const bits = bitsOf(tensor.dtype);
  const signed = tensor.dtype.startsWith("int");
  const mask = (1 << bits) - 1;
  const perByte = 8 / bits;
  const bytes = tensor.bytes();
  return Array.from({ length: tensor.size }, (_, i) => {
    const raw = ((bytes[Math.floor(i / perByte)] as number) >> (bits * (i % perByte))) & mask;
    return signed && raw >= 1 << (bits - 1) ? raw - (1 << bits) : raw;
  });
}

const bfloat16 = new DataView(new ArrayBuffer(4));
function bfloat16ToNumber(raw: number): number {
  bfloat16.setUint32(0, raw << 16);
  return bfloat16.getFloat32(0);
}

/** Any numeric tensor as float32 (integers above 2^24 are rounded). A view where the tensor is float32 already. */
export function toFloat32(tensor: Tensor): Float32Array {
  if (tensor.dtype === "float32") return typedArray(tensor) as Float32Array;
  return Float32Array.from(toNumbers(tensor));
}

/** Any numeric tensor as plain numbers; int64 beyond 2^53 loses precision. */
export function toNumbers(tensor: Tensor): number[] {
  if (tensor.dtype === "float16") return Array.from(typedArray(tensor) as Uint16Array, float16ToNumber);
  if (tensor.dtype === "bfloat16") return Array.from(typedArray(tensor) as Uint16Array, bfloat16ToNumber);
  if (bitsOf(tensor.dtype) < 8) return unpack(tensor);
  return Array.from(typedArray(tensor) as ArrayLike<number | bigint>, Number);
}

export const fromTypedArray = (dtype: DataType, shape: readonly number[], data: ArrayBufferView): Tensor =>
  new Tensor(dtype, shape, new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength));

const [least64, most64, mostUnsigned64] = [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 64n - 1n];

/** INT64_MAX ("to the end" in slices) becomes 2^63 as a JavaScript number: what is too large saturates instead of wrapping round. */
function wholeWithin64(value: number | bigint, signed: boolean): bigint {
  const whole = BigInt(value);
  const most = signed ? most64 : mostUnsigned64;
  if (whole > most) return most;
  return signed && whole < least64 ? least64 : whole;
}

const isNumberArray = (values: ArrayLike<number | bigint>): values is Float32Array =>
  ArrayBuffer.isView(values) &&
  !(values instanceof BigInt64Array) &&
  !(values instanceof BigUint64Array) &&
  !(values instanceof DataView);

/** Builds a tensor from numbers, converting to `dtype`; 64-bit integers saturate. */
export function tensorOf(dtype: DataType, shape: readonly number[], values: ArrayLike<number | bigint>): Tensor {
  if (dtype === "float16") return fromTypedArray(dtype, shape, Uint16Array.from(values as ArrayLike<number>, numberToFloat16));
  if (dtype === "bfloat16") return fromTypedArray(dtype, shape, Uint16Array.from(values as ArrayLike<number>, numberToBfloat16));
  const ArrayType = arrayConstructor(dtype);
  const data =
    ArrayType === BigInt64Array || ArrayType === BigUint64Array
      ? ArrayType.from(Array.from(values, (v) => wholeWithin64(v, ArrayType === BigInt64Array)))
      : isNumberArray(values)
        ? new (ArrayType as typeof Float32Array)(values) // as a whole: no number per element on the heap
        : (ArrayType as typeof Float32Array).from(values as ArrayLike<number>, Number);
  return fromTypedArray(dtype, shape, data);
}

export const float32Tensor = (shape: readonly number[], values: ArrayLike<number>): Tensor => tensorOf("float32", shape, values);
export const int64Tensor = (values: readonly (number | bigint)[]): Tensor => tensorOf("int64", [values.length], values);
export const scalarTensor = (dtype: DataType, value: number | bigint): Tensor => tensorOf(dtype, [], [value]);
export const stringTensor = (shape: readonly number[], strings: readonly string[]): Tensor =>
  new Tensor("string", shape, new Uint8Array(), { strings });
