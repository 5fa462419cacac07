import { bitsOf, byteLength, type DataType } from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import { joinChunks, ProtoReader } from "../../util/protobuf/index.ts";
import type { TensorProto } from "./protos.ts";

type Pieces = readonly Uint8Array[] | undefined;

/** The typed data field that a dtype uses when it has no raw_data. */
type DataField = "floatData" | "int32Data" | "int64Data" | "doubleData" | "uint64Data";
function dataField(dtype: DataType): DataField {
  if (dtype === "float32" || dtype === "complex64") return "floatData";
  if (dtype === "float64" || dtype === "complex128") return "doubleData";
  if (dtype === "int64") return "int64Data";
  return dtype === "uint32" || dtype === "uint64" ? "uint64Data" : "int32Data";
}

/** Bytes of one stored number: packed sub-byte types keep one byte of elements in each entry of int32_data. */
const entryBytes = (dtype: DataType): number => Math.max(8, bitsOf(dtype)) / 8;

const tooMany = (subject: string): never =>
  fail("ONNX_TENSOR_SIZE", `Tensor "${subject}" holds more numbers than its shape has elements.`, { subject });

function varintsToBytes(pieces: readonly Uint8Array[], dtype: DataType, total: number, subject: string): Uint8Array {
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  const width = entryBytes(dtype);
  let at = 0;
  for (const piece of pieces) {
    const reader = new ProtoReader(piece, "ONNX");
    for (; reader.position < reader.end; at += width) {
      if (at + width > total) tooMany(subject);
      if (width === 8) view.setBigUint64(at, reader.bits64(), true);
      else if (width === 4) view.setInt32(at, reader.bits32(), true);
      else if (width === 2) view.setInt16(at, reader.bits32(), true);
      else view.setInt8(at, reader.bits32());
    }
  }
  if (at !== total) wrongSize(subject, total, at);
  return bytes;
}

function wrongSize(subject: string, expected: number, actual: number): never {
  fail("ONNX_TENSOR_SIZE", `Tensor "${subject}" needs ${expected} bytes for its shape but has ${actual}.`, { subject });
}

/** float6 comes one element an entry in int32_data, but packed densely in raw bytes: four elements in three bytes. */
function packFloat6(pieces: readonly Uint8Array[], count: number, subject: string): Uint8Array {
  const single = varintsToBytes(pieces, "uint8", count, subject);
  const bytes = new Uint8Array(Math.ceil((count * 6) / 8));
  single.forEach((element, i) => {
    const bit = i * 6;
    const shifted = (element & 0x3f) << (bit % 8);
    bytes[bit >> 3] = (bytes[bit >> 3] as number) | (shifted & 0xff);
    if (shifted > 0xff) bytes[(bit >> 3) + 1] = shifted >> 8;
  });
  return bytes;
}

/** A tensor's bytes from raw_data (a view) or from the typed field that its dtype uses; checked against `count` elements. */
export function tensorBytes(proto: TensorProto, dtype: DataType, count: number, subject: string): Uint8Array {
  const total = byteLength(dtype, count);
  const raw = proto.rawData as Uint8Array | undefined;
  const pieces: Pieces = proto[dataField(dtype)];
  if (raw && (raw.byteLength > 0 || !pieces)) {
    if (raw.byteLength !== total) wrongSize(subject, total, raw.byteLength);
    return raw;
  }
  const given = (pieces ?? []).reduce((sum, piece) => sum + piece.byteLength, 0);
  // every number takes at least one byte: refuse before allocating what an absurd shape asks for
  const needed = bitsOf(dtype) === 6 ? count : Math.ceil(total / entryBytes(dtype));
  if (given < needed) wrongSize(subject, total, given);
  if (total === 0 && given === 0) return new Uint8Array();
  const field = dataField(dtype);
  if (field === "floatData" || field === "doubleData") {
    if (given !== total) wrongSize(subject, total, given);
    return joinChunks(pieces ?? []);
  }
  return bitsOf(dtype) === 6 ? packFloat6(pieces ?? [], count, subject) : varintsToBytes(pieces ?? [], dtype, total, subject);
}
