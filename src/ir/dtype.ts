/** Element types of ONNX tensors (TensorProto.DataType), with the number ONNX files use and the bits of one element. */
export const dataTypes = {
  float32: { code: 1, bits: 32 },
  uint8: { code: 2, bits: 8 },
  int8: { code: 3, bits: 8 },
  uint16: { code: 4, bits: 16 },
  int16: { code: 5, bits: 16 },
  int32: { code: 6, bits: 32 },
  int64: { code: 7, bits: 64 },
  string: { code: 8, bits: 0 },
  bool: { code: 9, bits: 8 },
  float16: { code: 10, bits: 16 },
  float64: { code: 11, bits: 64 },
  uint32: { code: 12, bits: 32 },
  uint64: { code: 13, bits: 64 },
  complex64: { code: 14, bits: 64 },
  complex128: { code: 15, bits: 128 },
  bfloat16: { code: 16, bits: 16 },
  float8e4m3fn: { code: 17, bits: 8 },
  float8e4m3fnuz: { code: 18, bits: 8 },
  float8e5m2: { code: 19, bits: 8 },
  float8e5m2fnuz: { code: 20, bits: 8 },
  uint4: { code: 21, bits: 4 },
  int4: { code: 22, bits: 4 },
  float4e2m1: { code: 23, bits: 4 },
  float8e8m0: { code: 24, bits: 8 },
  uint2: { code: 25, bits: 2 },
  int2: { code: 26, bits: 2 },
  float6e2m3: { code: 27, bits: 6 },
  float6e3m2: { code: 28, bits: 6 },
} as const;

export type DataType = keyof typeof dataTypes;

const byCode = new Map<number, DataType>(Object.entries(dataTypes).map(([name, { code }]) => [code, name as DataType]));

export const dataTypeCode = (dtype: DataType): number => dataTypes[dtype].code;
export const dataTypeFromCode = (code: number): DataType | undefined => byCode.get(code);
export const bitsOf = (dtype: DataType): number => dataTypes[dtype].bits;

/** Bytes that `count` elements occupy; elements below 8 bits are packed, low bits first. */
export const byteLength = (dtype: DataType, count: number): number => Math.ceil((count * bitsOf(dtype)) / 8);

const floats = new Set<DataType>(["float32", "float16", "float64", "bfloat16"]);
export const isFloat = (dtype: DataType): boolean => floats.has(dtype);
const integers = new Set<DataType>([
  "uint8",
  "int8",
  "uint16",
  "int16",
  "int32",
  "int64",
  "uint32",
  "uint64",
  "uint4",
  "int4",
  "uint2",
  "int2",
]);
export const isInteger = (dtype: DataType): boolean => integers.has(dtype);
