import { arrayConstructor, bitsOf, type DataType, numel, Tensor } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";

/** Header of a NumPy .npy file, versions 1 to 3. */
export interface NpyHeader {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly fortranOrder: boolean;
  readonly bigEndian: boolean;
  /** Where the data starts. */
  readonly start: number;
}

const dtypes: Readonly<Record<string, DataType>> = {
  f2: "float16",
  f4: "float32",
  f8: "float64",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  u1: "uint8",
  u2: "uint16",
  u4: "uint32",
  u8: "uint64",
  b1: "bool",
};

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
export const isNpy = (bytes: Uint8Array): boolean => magic.every((byte, i) => bytes[i] === byte);
/** Enough bytes to hold any header that NumPy writes. */
export const npyHeaderBytes = 2 ** 16;

const corrupt = (origin: string, what: string): EdgewrightError =>
  new EdgewrightError("DATA_CORRUPT", `"${origin}" ${what}.`, {
    subject: origin,
    hint: "Write the file again with numpy.save or numpy.savez.",
  });

/** Reads the header from the first bytes of a file; `origin` names the file in errors. */
export function parseNpyHeader(bytes: Uint8Array, origin: string): NpyHeader {
  if (!isNpy(bytes) || bytes.length < 12) throw corrupt(origin, "does not begin like a .npy file");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = (bytes[6] as number) >= 2;
  const [at, length] = wide ? [12, view.getUint32(8, true)] : [10, view.getUint16(8, true)];
  if (at + length > bytes.length) throw corrupt(origin, "ends within its header");
  const text = new TextDecoder().decode(bytes.subarray(at, at + length));
  const descr = /'descr':\s*'([<>|=]?)([a-zA-Z]\d*)'/.exec(text);
  const order = /'fortran_order':\s*(True|False)/.exec(text);
  const shape = /'shape':\s*\(([\d\s,L]*)\)/.exec(text);
  if (!order || !shape) throw corrupt(origin, `has an unreadable header: ${text.trim().slice(0, 120)}`);
  const dtype = dtypes[descr?.[2] ?? ""];
  if (!dtype) throw corrupt(origin, `holds elements of a type that is no plain number: ${text.trim().slice(0, 120)}`);
  const dims = [...(shape[1] as string).matchAll(/\d+/g)].map((match) => Number(match[0]));
  if (!Number.isSafeInteger(numel(dims) * 8)) throw corrupt(origin, `states the absurd shape [${dims}]`);
  return { dtype, shape: dims, fortranOrder: order[1] === "True", bigEndian: descr?.[1] === ">", start: at + length };
}

/** Stored bytes of whole elements, in the tensor's little-endian order. */
export function npyElements(header: NpyHeader, bytes: Uint8Array): Uint8Array {
  const width = bitsOf(header.dtype) / 8;
  if (!header.bigEndian || width === 1) return bytes;
  const copy = bytes.slice();
  for (let at = 0; at < copy.length; at += width) copy.subarray(at, at + width).reverse();
  return copy;
}

/** A whole .npy file as a tensor. */
export function parseNpy(bytes: Uint8Array, origin: string): Tensor {
  const header = parseNpyHeader(bytes, origin);
  const size = (numel(header.shape) * bitsOf(header.dtype)) / 8;
  const data = bytes.subarray(header.start, header.start + size);
  if (data.length !== size) throw corrupt(origin, `states the shape [${header.shape}], ${size} bytes, but holds ${data.length}`);
  const little = npyElements(header, data);
  return header.fortranOrder ? rowMajor(header, little) : new Tensor(header.dtype, header.shape, little);
}

/** Column-major to row-major. */
function rowMajor(header: NpyHeader, bytes: Uint8Array): Tensor {
  const ArrayType = arrayConstructor(header.dtype);
  const source = new ArrayType(bytes.slice().buffer as ArrayBuffer) as Float64Array;
  const result = new ArrayType(source.length) as Float64Array;
  const { shape } = header;
  const strides = shape.map((_, axis) => numel(shape.slice(0, axis)));
  const at = new Array<number>(shape.length).fill(0);
  for (let i = 0; i < result.length; i++) {
    result[i] = source[at.reduce((sum, index, axis) => sum + index * (strides[axis] as number), 0)] as number;
    for (let axis = at.length - 1; axis >= 0; axis--) {
      at[axis] = (at[axis] as number) + 1;
      if ((at[axis] as number) < (shape[axis] as number)) break;
      at[axis] = 0;
    }
  }
  return new Tensor(header.dtype, shape, new Uint8Array(result.buffer));
}

/** A tensor as .npy bytes (version 1, row-major): the counterpart for fixtures and results. */
export function encodeNpy(tensor: Tensor): Uint8Array {
  const code = Object.entries(dtypes).find(([, dtype]) => dtype === tensor.dtype)?.[0];
  if (!code) throw corrupt("tensor", `has the element type ${tensor.dtype}, which .npy does not know`);
  const tuple = tensor.shape.length === 1 ? `(${tensor.shape[0]},)` : `(${tensor.shape.join(", ")})`;
  const text = `{'descr': '${code.endsWith("1") ? "|" : "<"}${code}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const padded = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + padded.length + tensor.byteLength);
  bytes.set([...magic, 1, 0, padded.length & 255, padded.length >> 8]);
  bytes.set(new TextEncoder().encode(padded), 10);
  bytes.set(tensor.bytes(), 10 + padded.length);
  return bytes;
}
