import { byteLength } from "../ir/dtype.ts";
import { type DataType, numel, Tensor } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";

/** Element types by the names of the safetensors format. */
const types = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U64: "uint64",
  U32: "uint32",
  U16: "uint16",
  U8: "uint8",
  BOOL: "bool",
} as const satisfies Readonly<Record<string, DataType>>;
const nameOf = new Map<DataType, string>(Object.entries(types).map(([name, dtype]) => [dtype, name]));

export interface Safetensors {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** Longest header that the format's reference reader accepts. */
const maxHeaderBytes = 100_000_000;

const broken = (what: string): never => {
  throw new EdgewrightError("SAFETENSORS_INVALID", `The file is no valid safetensors file: ${what}.`, {
    hint: "It may be cut short or of another format.",
  });
};

/**
 * Reads the safetensors format: the header's length (8 bytes, little-endian), a JSON header, then the tensors' bytes. Tensors are views on
 * `bytes`.
 */
export function readSafetensors(bytes: Uint8Array): Safetensors {
  if (bytes.byteLength < 8) broken(`it has ${bytes.byteLength} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > maxHeaderBytes || length > bytes.byteLength - 8)
    broken(`its header claims ${length} bytes and the file has ${bytes.byteLength}`);
  const header = parseHeader(bytes.subarray(8, 8 + length));
  const data = bytes.subarray(8 + length);
  const tensors: Record<string, Tensor> = {};
  let end = 0;
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  for (const [name, entry] of entries.sort(([, a], [, z]) => offsetOf(a) - offsetOf(z))) {
    const { tensor, to } = readEntry(name, entry as Entry, data, end);
    tensors[name] = tensor;
    end = to;
  }
  return { tensors, metadata: metadataOf(header.__metadata__) };
}

const offsetOf = (entry: unknown): number => Number((entry as Entry | undefined)?.data_offsets?.[0] ?? 0);

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof header === "object" && header !== null && !Array.isArray(header)) return header as Record<string, unknown>;
  } catch {
    // reported below
  }
  return broken("its header is no JSON object");
}

function readEntry(name: string, entry: Entry, data: Uint8Array, after: number): { tensor: Tensor; to: number } {
  const { dtype, shape, data_offsets: offsets } = entry ?? {};
  const known = Object.hasOwn(types, String(dtype))
    ? types[dtype as keyof typeof types]
    : broken(`"${name}" has the element type ${dtype}`);
  const whole = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(whole)) broken(`"${name}" has no shape`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(whole)) broken(`"${name}" has no data offsets`);
  const [from, to] = offsets;
  if (from < after || to < from || to > data.byteLength)
    broken(`the data of "${name}" lie at ${from} to ${to}, outside their place`);
  if (byteLength(known, numel(shape)) !== to - from)
    broken(`"${name}" [${shape}] of type ${dtype} does not take ${to - from} bytes`);
  return { tensor: new Tensor(known, shape, data.subarray(from, to)), to };
}

function metadataOf(value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null) return broken("its metadata are no JSON object");
  return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, String(text)]));
}

/** The file's bytes. Tensors follow in the order given, each aligned to 8 bytes as far as their sizes allow. */
export function encodeSafetensors({ tensors, metadata }: Safetensors): Uint8Array {
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  let offset = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    const dtype = nameOf.get(tensor.dtype);
    if (!dtype)
      throw new EdgewrightError("SAFETENSORS_DTYPE", `Tensor "${name}" of type ${tensor.dtype} has no place in safetensors.`);
    header[name] = { dtype, shape: tensor.shape, data_offsets: [offset, offset + tensor.byteLength] };
    offset += tensor.byteLength;
  }
  const text = JSON.stringify(header);
  const encoded = new TextEncoder().encode(text);
  const padded = Math.ceil(encoded.byteLength / 8) * 8;
  const bytes = new Uint8Array(8 + padded + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.fill(0x20, 8, 8 + padded);
  bytes.set(encoded, 8);
  let at = 8 + padded;
  for (const tensor of Object.values(tensors)) {
    bytes.set(tensor.bytes(), at);
    at += tensor.byteLength;
  }
  return bytes;
}
