import { byteLength, dataTypeCode, dataTypeFromCode, type ExternalLocation, type SparseTensor, Tensor } from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import { decodeMessage, encodeMessage, joinChunks } from "../../util/protobuf/index.ts";
import { externalSource, type OpenExternal, readLocation, writeLocation } from "./external.ts";
import { type SparseTensorProto, type TensorProto, tensorProto } from "./protos.ts";
import { tensorBytes } from "./tensor-data.ts";
import { decodeUtf8, encodeUtf8 } from "./text.ts";

const externalLocation = 1;

/** Dimensions as numbers whose product is exact; anything else is refused. */
function readDims(dims: readonly (number | bigint)[], subject: string): number[] {
  const bad = dims.find((dim) => typeof dim === "bigint" || dim < 0);
  if (bad !== undefined) fail("ONNX_DIMS", `Tensor "${subject}" has a dimension of ${bad}.`, { subject });
  const shape = dims as number[];
  const count = shape.includes(0) ? 0 : shape.reduce((product, dim) => product * dim, 1);
  if (!Number.isSafeInteger(count * 16))
    fail("ONNX_DIMS", `Tensor "${subject}" of shape [${shape}] has more elements than any machine can hold.`, { subject });
  return shape;
}

export function readTensor(proto: TensorProto, open: OpenExternal | undefined, subject: string): Tensor {
  const dtype = dataTypeFromCode(proto.dataType ?? 0);
  if (!dtype) fail("ONNX_DTYPE", `Tensor "${subject}" has the unknown element type ${proto.dataType ?? 0}.`, { subject });
  const shape = readDims(proto.dims ?? [], subject);
  const count = shape.includes(0) ? 0 : shape.reduce((product, dim) => product * dim, 1);
  const fields = proto.unknown;
  if (dtype === "string") return readStrings(proto, shape, count, subject);
  if (proto.dataLocation === externalLocation) {
    const place = readLocation(proto.externalData ?? [], byteLength(dtype, count), subject);
    return new Tensor(dtype, shape, externalSource(place, open, subject), { external: place, fields });
  }
  return new Tensor(dtype, shape, tensorBytes(proto, dtype, count, subject), { fields });
}

function readStrings(proto: TensorProto, shape: number[], count: number, subject: string): Tensor {
  const encoded = proto.stringData ?? [];
  if (encoded.length !== count)
    fail("ONNX_TENSOR_SIZE", `String tensor "${subject}" needs ${count} strings for its shape but has ${encoded.length}.`, {
      subject,
    });
  const decoded = encoded.map(decodeUtf8);
  const strings = decoded.map((text) => (typeof text === "string" ? text : new TextDecoder().decode(text)));
  // strings that are not UTF-8 keep their encoded form, for writing
  const clean = decoded.every((text) => typeof text === "string");
  const bytes = clean ? new Uint8Array() : joinChunks(encodeMessage(tensorProto, { stringData: encoded }).chunks);
  return new Tensor("string", shape, bytes, { strings, fields: proto.unknown });
}

const nameTag = (8 << 3) | 2;

/** Keeps the name of a tensor that is not an initializer: it means nothing, but it is in the file. Goes first, to be found again. */
export function withNameField(proto: TensorProto): TensorProto {
  if (proto.name === undefined) return proto;
  const named = joinChunks(encodeMessage(tensorProto, { name: proto.name }).chunks);
  return { ...proto, unknown: joinChunks([named, proto.unknown ?? new Uint8Array()]) };
}

function withoutNameField(fields: Uint8Array | undefined): Uint8Array | undefined {
  if (!fields || fields[0] !== nameTag) return fields;
  let length = 0;
  let at = 1;
  for (let shift = 0; ; shift += 7) {
    const byte = fields[at++] ?? 0;
    length += (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return fields.subarray(at + length);
}

/** A tensor as a protobuf message; its bytes stay a reference. A name makes it an initializer. */
export function writeTensor(tensor: Tensor, name?: string, external?: ExternalLocation): TensorProto {
  const fields = name === undefined ? tensor.fields : withoutNameField(tensor.fields);
  const proto: TensorProto = { dims: [...tensor.shape], dataType: dataTypeCode(tensor.dtype), name, unknown: fields };
  if (external) return { ...proto, externalData: writeLocation(external), dataLocation: externalLocation };
  if (tensor.dtype !== "string") return { ...proto, rawData: tensor };
  const encoded = tensor.bytes();
  if (encoded.byteLength > 0) return { ...proto, stringData: decodeMessage(tensorProto, encoded, "ONNX").stringData };
  return { ...proto, stringData: (tensor.strings ?? []).map(encodeUtf8) };
}

export function readSparse(proto: SparseTensorProto, open: OpenExternal | undefined, subject: string): SparseTensor {
  if (!proto.values || !proto.indices)
    fail("ONNX_SPARSE", `Sparse tensor "${subject}" lacks its ${proto.values ? "indices" : "values"}.`, { subject });
  return {
    values: readTensor(proto.values, open, subject),
    indices: readTensor(withNameField(proto.indices), open, `${subject} indices`),
    shape: readDims(proto.dims ?? [], subject),
  };
}

export const writeSparse = (sparse: SparseTensor, name?: string): SparseTensorProto => ({
  values: writeTensor(sparse.values, name),
  indices: writeTensor(sparse.indices),
  dims: [...sparse.shape],
});
