/** Types of values as ONNX encodes them (TypeProto), by public field numbers. Everything but plain tensors stays encoded in the IR. */
import {
  decodeMessage,
  defineMessage,
  encodeMessage,
  field,
  joinChunks,
  type MessageType,
  type ProtoMessage,
} from "../util/protobuf/index.ts";
import type { ForeignType } from "./attribute.ts";
import { type DataType, dataTypeCode, dataTypeFromCode } from "./dtype.ts";
import { type Dim, type TensorType, unknownDim } from "./shape.ts";

interface DimensionProto extends ProtoMessage {
  dimValue?: number | bigint | undefined;
  dimParam?: string | undefined;
}
const dimensionProto = defineMessage<DimensionProto>("TensorShapeProto.Dimension", {
  dimValue: field.int64(1),
  dimParam: field.string(2),
});
interface ShapeProto extends ProtoMessage {
  dim?: DimensionProto[] | undefined;
}
const shapeProto = defineMessage<ShapeProto>("TensorShapeProto", { dim: field.messages(1, () => dimensionProto) });
interface TensorTypeProto extends ProtoMessage {
  elemType?: number | undefined;
  shape?: ShapeProto | undefined;
}
const tensorTypeProto = defineMessage<TensorTypeProto>("TypeProto.Tensor", {
  elemType: field.int(1),
  shape: field.message(2, () => shapeProto),
});
interface ElementTypeProto extends ProtoMessage {
  elemType?: TypeProto | undefined;
}
const elementTypeProto: MessageType<ElementTypeProto> = defineMessage<ElementTypeProto>("TypeProto.Sequence", {
  elemType: field.message(1, () => typeProto),
});
interface MapTypeProto extends ProtoMessage {
  keyType?: number | undefined;
  valueType?: TypeProto | undefined;
}
const mapTypeProto: MessageType<MapTypeProto> = defineMessage<MapTypeProto>("TypeProto.Map", {
  keyType: field.int(1),
  valueType: field.message(2, () => typeProto),
});
interface OpaqueTypeProto extends ProtoMessage {
  domain?: string | undefined;
  name?: string | undefined;
}
const opaqueTypeProto = defineMessage<OpaqueTypeProto>("TypeProto.Opaque", { domain: field.string(1), name: field.string(2) });
interface TypeProto extends ProtoMessage {
  tensorType?: TensorTypeProto | undefined;
  sequenceType?: ElementTypeProto | undefined;
  mapType?: MapTypeProto | undefined;
  opaqueType?: OpaqueTypeProto | undefined;
  sparseTensorType?: TensorTypeProto | undefined;
  optionalType?: ElementTypeProto | undefined;
}
const typeProto: MessageType<TypeProto> = defineMessage<TypeProto>("TypeProto", {
  tensorType: field.message(1, () => tensorTypeProto),
  sequenceType: field.message(4, () => elementTypeProto),
  mapType: field.message(5, () => mapTypeProto),
  opaqueType: field.message(7, () => opaqueTypeProto),
  sparseTensorType: field.message(8, () => tensorTypeProto),
  optionalType: field.message(9, () => elementTypeProto),
});

/** A type as a tree; `undefined` members are what the file leaves out. */
export type TypeTree =
  | { readonly kind: "tensor" | "sparse"; readonly type: TensorType | undefined }
  | { readonly kind: "sequence" | "optional"; readonly element: TypeTree | undefined }
  | { readonly kind: "map"; readonly key: DataType | undefined; readonly value: TypeTree | undefined }
  | { readonly kind: "opaque"; readonly domain: string; readonly name: string };

function readDim({ dimValue, dimParam }: DimensionProto): Dim {
  if (typeof dimValue === "number") return dimValue >= 0 ? dimValue : unknownDim;
  return dimParam || unknownDim;
}

function tensorType({ elemType, shape }: TensorTypeProto): TensorType | undefined {
  const dtype = dataTypeFromCode(elemType ?? 0);
  return dtype && { dtype, shape: shape ? (shape.dim ?? []).map(readDim) : undefined };
}

function treeOf(proto: TypeProto | undefined): TypeTree | undefined {
  if (!proto) return undefined;
  if (proto.tensorType) return { kind: "tensor", type: tensorType(proto.tensorType) };
  if (proto.sparseTensorType) return { kind: "sparse", type: tensorType(proto.sparseTensorType) };
  if (proto.sequenceType) return { kind: "sequence", element: treeOf(proto.sequenceType.elemType) };
  if (proto.optionalType) return { kind: "optional", element: treeOf(proto.optionalType.elemType) };
  if (proto.opaqueType) return { kind: "opaque", domain: proto.opaqueType.domain ?? "", name: proto.opaqueType.name ?? "" };
  if (!proto.mapType) return undefined;
  return { kind: "map", key: dataTypeFromCode(proto.mapType.keyType ?? 0), value: treeOf(proto.mapType.valueType) };
}

export const decodeTypeTree = (encoded: Uint8Array): TypeTree | undefined => treeOf(decodeMessage(typeProto, encoded, "ONNX"));

export interface DecodedType {
  readonly type?: TensorType;
  readonly foreign?: ForeignType;
  /** The encoding, where it says more than `type` can (denotations, negative extents). */
  readonly exact?: Uint8Array;
}

/** A dense tensor's type as such; any other type as its kind and encoding. */
export function decodeType(encoded: Uint8Array): DecodedType {
  const proto = decodeMessage(typeProto, encoded, "ONNX");
  const tree = treeOf(proto);
  if (!tree) return encoded.byteLength > 0 ? { foreign: { kind: "opaque", encoded } } : {};
  if (tree.kind !== "tensor" || !tree.type) return { foreign: { kind: tree.kind, encoded } };
  const { unknown, tensorType: tensor } = proto;
  const dims = tensor?.shape?.dim ?? [];
  const exact = unknown || tensor?.unknown || tensor?.shape?.unknown || dims.some((dim) => dim.unknown || oddDim(dim));
  return { type: tree.type, ...(exact ? { exact: encoded } : {}) };
}

/** Extents that `writeDim` would write otherwise. */
const oddDim = ({ dimValue }: DimensionProto): boolean =>
  dimValue !== undefined && (typeof dimValue === "bigint" || dimValue < 0);

function writeDim(dim: Dim): DimensionProto {
  if (typeof dim === "number") return { dimValue: dim };
  return dim === unknownDim ? {} : { dimParam: dim };
}

const tensorTypeOf = (type: TensorType | undefined): TensorTypeProto =>
  type ? { elemType: dataTypeCode(type.dtype), shape: type.shape && { dim: type.shape.map(writeDim) } } : {};

function protoOf(tree: TypeTree | undefined): TypeProto {
  switch (tree?.kind) {
    case "tensor":
      return { tensorType: tensorTypeOf(tree.type) };
    case "sparse":
      return { sparseTensorType: tensorTypeOf(tree.type) };
    case "sequence":
      return { sequenceType: { elemType: protoOf(tree.element) } };
    case "optional":
      return { optionalType: { elemType: protoOf(tree.element) } };
    case "map":
      return { mapType: { keyType: tree.key && dataTypeCode(tree.key), valueType: protoOf(tree.value) } };
    case "opaque":
      return { opaqueType: { domain: tree.domain, name: tree.name } };
    default:
      return {};
  }
}

const encodeTypeTree = (tree: TypeTree): Uint8Array => joinChunks(encodeMessage(typeProto, protoOf(tree)).chunks);
export const encodeTensorType = (type: TensorType): Uint8Array => encodeTypeTree({ kind: "tensor", type });
export const foreignTypeOf = (tree: TypeTree): ForeignType => ({ kind: tree.kind, encoded: encodeTypeTree(tree) });
