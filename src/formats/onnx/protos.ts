/**
 * ONNX's protobuf messages by their public field numbers (onnx.proto, IR version 14). Fields that only need to survive a round trip
 * are not named here: the codec keeps every unnamed field as encoded bytes.
 */
import { type Chunk, defineMessage, field, type MessageType, type ProtoMessage } from "../../util/protobuf/index.ts";

export interface EntryProto extends ProtoMessage {
  key?: string | undefined;
  value?: string | undefined;
}
const entryProto = defineMessage<EntryProto>("StringStringEntryProto", { key: field.string(1), value: field.string(2) });

export interface TensorProto extends ProtoMessage {
  dims?: (number | bigint)[] | undefined;
  dataType?: number | undefined;
  floatData?: Uint8Array[] | undefined;
  int32Data?: Uint8Array[] | undefined;
  stringData?: Uint8Array[] | undefined;
  int64Data?: Uint8Array[] | undefined;
  name?: string | undefined;
  rawData?: Chunk | undefined;
  doubleData?: Uint8Array[] | undefined;
  uint64Data?: Uint8Array[] | undefined;
  externalData?: EntryProto[] | undefined;
  dataLocation?: number | undefined;
}
export const tensorProto = defineMessage<TensorProto>("TensorProto", {
  dims: field.int64s(1),
  dataType: field.int(2),
  floatData: field.payload(4),
  int32Data: field.payload(5),
  stringData: field.views(6),
  int64Data: field.payload(7),
  name: field.string(8),
  rawData: field.bytes(9),
  doubleData: field.payload(10),
  uint64Data: field.payload(11),
  externalData: field.messages(13, () => entryProto),
  dataLocation: field.int(14),
});

export interface SparseTensorProto extends ProtoMessage {
  values?: TensorProto | undefined;
  indices?: TensorProto | undefined;
  dims?: (number | bigint)[] | undefined;
}
const sparseTensorProto = defineMessage<SparseTensorProto>("SparseTensorProto", {
  values: field.message(1, () => tensorProto),
  indices: field.message(2, () => tensorProto),
  dims: field.int64s(3),
});

export interface ValueInfoProto extends ProtoMessage {
  name?: string | undefined;
  /** An encoded TypeProto. */
  type?: Uint8Array | undefined;
  docString?: string | undefined;
  metadataProps?: EntryProto[] | undefined;
}
const valueInfoProto = defineMessage<ValueInfoProto>("ValueInfoProto", {
  name: field.string(1),
  type: field.view(2),
  docString: field.string(3),
  metadataProps: field.messages(4, () => entryProto),
});

export interface AttributeProto extends ProtoMessage {
  name?: string | undefined;
  f?: number | undefined;
  i?: number | bigint | undefined;
  s?: Uint8Array | undefined;
  t?: TensorProto | undefined;
  g?: GraphProto | undefined;
  floats?: number[] | undefined;
  ints?: (number | bigint)[] | undefined;
  strings?: Uint8Array[] | undefined;
  tensors?: TensorProto[] | undefined;
  graphs?: GraphProto[] | undefined;
  tp?: Uint8Array | undefined;
  typeProtos?: Uint8Array[] | undefined;
  type?: number | undefined;
  refAttrName?: string | undefined;
  sparseTensor?: SparseTensorProto | undefined;
  sparseTensors?: SparseTensorProto[] | undefined;
}
const attributeProto: MessageType<AttributeProto> = defineMessage<AttributeProto>("AttributeProto", {
  name: field.string(1),
  f: field.float(2),
  i: field.int64(3),
  s: field.view(4),
  t: field.message(5, () => tensorProto),
  g: field.message(6, () => graphProto),
  floats: field.floats(7),
  ints: field.int64s(8),
  strings: field.views(9),
  tensors: field.messages(10, () => tensorProto),
  graphs: field.messages(11, () => graphProto),
  tp: field.view(14),
  typeProtos: field.views(15),
  type: field.int(20),
  refAttrName: field.string(21),
  sparseTensor: field.message(22, () => sparseTensorProto),
  sparseTensors: field.messages(23, () => sparseTensorProto),
});

export interface NodeProto extends ProtoMessage {
  input?: string[] | undefined;
  output?: string[] | undefined;
  name?: string | undefined;
  opType?: string | undefined;
  attribute?: AttributeProto[] | undefined;
  docString?: string | undefined;
  domain?: string | undefined;
  overload?: string | undefined;
  metadataProps?: EntryProto[] | undefined;
}
const nodeProto: MessageType<NodeProto> = defineMessage<NodeProto>("NodeProto", {
  input: field.strings(1),
  output: field.strings(2),
  name: field.string(3),
  opType: field.string(4),
  attribute: field.messages(5, () => attributeProto),
  docString: field.string(6),
  domain: field.string(7),
  overload: field.string(8),
  metadataProps: field.messages(9, () => entryProto),
});

export interface GraphProto extends ProtoMessage {
  node?: NodeProto[] | undefined;
  name?: string | undefined;
  initializer?: TensorProto[] | undefined;
  docString?: string | undefined;
  input?: ValueInfoProto[] | undefined;
  output?: ValueInfoProto[] | undefined;
  valueInfo?: ValueInfoProto[] | undefined;
  quantizationAnnotation?: Uint8Array[] | undefined;
  sparseInitializer?: SparseTensorProto[] | undefined;
  metadataProps?: EntryProto[] | undefined;
}
export const graphProto: MessageType<GraphProto> = defineMessage<GraphProto>("GraphProto", {
  node: field.messages(1, () => nodeProto),
  name: field.string(2),
  initializer: field.messages(5, () => tensorProto),
  docString: field.string(10),
  input: field.messages(11, () => valueInfoProto),
  output: field.messages(12, () => valueInfoProto),
  valueInfo: field.messages(13, () => valueInfoProto),
  quantizationAnnotation: field.views(14),
  sparseInitializer: field.messages(15, () => sparseTensorProto),
  metadataProps: field.messages(16, () => entryProto),
});

export interface OperatorSetProto extends ProtoMessage {
  domain?: string | undefined;
  version?: number | undefined;
}
const operatorSetProto = defineMessage<OperatorSetProto>("OperatorSetIdProto", {
  domain: field.string(1),
  version: field.int(2),
});

export interface FunctionProto extends ProtoMessage {
  name?: string | undefined;
  input?: string[] | undefined;
  output?: string[] | undefined;
  attribute?: string[] | undefined;
  node?: NodeProto[] | undefined;
  docString?: string | undefined;
  opsetImport?: OperatorSetProto[] | undefined;
  domain?: string | undefined;
  attributeProto?: AttributeProto[] | undefined;
  valueInfo?: ValueInfoProto[] | undefined;
  overload?: string | undefined;
  metadataProps?: EntryProto[] | undefined;
}
const functionProto = defineMessage<FunctionProto>("FunctionProto", {
  name: field.string(1),
  input: field.strings(4),
  output: field.strings(5),
  attribute: field.strings(6),
  node: field.messages(7, () => nodeProto),
  docString: field.string(8),
  opsetImport: field.messages(9, () => operatorSetProto),
  domain: field.string(10),
  attributeProto: field.messages(11, () => attributeProto),
  valueInfo: field.messages(12, () => valueInfoProto),
  overload: field.string(13),
  metadataProps: field.messages(14, () => entryProto),
});

export interface ModelProto extends ProtoMessage {
  irVersion?: number | undefined;
  producerName?: string | undefined;
  producerVersion?: string | undefined;
  domain?: string | undefined;
  modelVersion?: number | bigint | undefined;
  docString?: string | undefined;
  graph?: GraphProto | undefined;
  opsetImport?: OperatorSetProto[] | undefined;
  metadataProps?: EntryProto[] | undefined;
  functions?: FunctionProto[] | undefined;
}
export const modelProto = defineMessage<ModelProto>("ModelProto", {
  irVersion: field.int(1),
  producerName: field.string(2),
  producerVersion: field.string(3),
  domain: field.string(4),
  modelVersion: field.int64(5),
  docString: field.string(6),
  graph: field.message(7, () => graphProto),
  opsetImport: field.messages(8, () => operatorSetProto),
  metadataProps: field.messages(14, () => entryProto),
  functions: field.messages(25, () => functionProto),
});
