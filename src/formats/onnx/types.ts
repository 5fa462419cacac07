import {
  type Dim,
  dataTypeCode,
  dataTypeFromCode,
  type ForeignType,
  sameShape,
  type TensorType,
  unknownDim,
  type Value,
} from "../../ir/index.ts";
import { decodeMessage, encodeMessage, joinChunks } from "../protobuf/index.ts";
import { entriesOf, mapOf } from "./entries.ts";
import { type DimensionProto, type TypeProto, typeProto, type ValueInfoProto } from "./protos.ts";

interface DecodedType {
  readonly type?: TensorType;
  readonly foreign?: ForeignType;
  /** The encoding says more than `type`. */
  readonly exact?: Uint8Array;
}

const kinds = {
  sequenceType: "sequence",
  mapType: "map",
  opaqueType: "opaque",
  sparseTensorType: "sparse",
  optionalType: "optional",
} as const;

function readDim({ dimValue, dimParam }: DimensionProto): Dim {
  if (typeof dimValue === "number") return dimValue >= 0 ? dimValue : unknownDim;
  return dimParam || unknownDim;
}

export function decodeForeignKind(encoded: Uint8Array): ForeignType["kind"] {
  return decodeType(encoded).foreign?.kind ?? "tensor";
}

function decodeType(encoded: Uint8Array): DecodedType {
  const proto = decodeMessage(typeProto, encoded, "ONNX");
  const tensor = proto.tensorType;
  if (!tensor) {
    for (const [key, kind] of Object.entries(kinds)) if (proto[key as keyof TypeProto]) return { foreign: { kind, encoded } };
    return encoded.byteLength > 0 ? { foreign: { kind: "opaque", encoded } } : {};
  }
  const dtype = dataTypeFromCode(tensor.elemType ?? 0);
  if (!dtype) return { foreign: { kind: "tensor", encoded } };
  const dims = tensor.shape?.dim ?? [];
  const exact = proto.unknown || tensor.unknown || tensor.shape?.unknown || dims.some((dim) => dim.unknown || oddDim(dim));
  return { type: { dtype, shape: tensor.shape ? dims.map(readDim) : undefined }, ...(exact ? { exact: encoded } : {}) };
}

/** Dimensions that are written otherwise than the writer would. */
const oddDim = ({ dimValue }: DimensionProto): boolean =>
  dimValue !== undefined && (typeof dimValue === "bigint" || dimValue < 0);

function writeDim(dim: Dim): DimensionProto {
  if (typeof dim === "number") return { dimValue: dim };
  return dim === unknownDim ? {} : { dimParam: dim };
}

export function encodeTensorType({ dtype, shape }: TensorType): Uint8Array {
  const proto: TypeProto = {
    tensorType: { elemType: dataTypeCode(dtype), shape: shape ? { dim: shape.map(writeDim) } : undefined },
  };
  return joinChunks(encodeMessage(typeProto, proto).chunks);
}

const agree = (a: TensorType | undefined, b: TensorType): boolean =>
  a?.dtype === b.dtype &&
  ((a.shape === undefined && b.shape === undefined) || sameShape(a.shape?.map(named), b.shape?.map(named)));
const named = (dim: Dim): Dim => (dim === unknownDim ? "unknown" : dim);

function encodeValueType(value: Value): Uint8Array | undefined {
  const { type, encodedType } = value;
  if (!type) return value.foreignType?.encoded;
  if (encodedType && agree(decodeType(encodedType).type, type)) return encodedType;
  return encodeTensorType(type);
}

/** Gives a value what a ValueInfoProto says of it. */
export function applyValueInfo(value: Value, info: ValueInfoProto): void {
  if (info.docString) value.docString = info.docString;
  if (info.metadataProps) value.metadata = mapOf(info.metadataProps);
  if (!info.type) return;
  const { type, foreign, exact } = decodeType(info.type);
  if (type) value.type = type;
  value.foreignType = foreign;
  value.encodedType = exact;
}

export const valueInfo = (value: Value): ValueInfoProto => ({
  name: value.name,
  type: encodeValueType(value),
  docString: value.docString || undefined,
  metadataProps: value.metadata && entriesOf(value.metadata),
});

/** Whether a file has anything to say of a value that is no graph input or output. */
export const isDescribed = (value: Value): boolean =>
  Boolean(value.type ?? value.foreignType ?? value.docString ?? value.metadata);
