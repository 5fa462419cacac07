import { type Dim, decodeType, encodeTensorType, sameShape, type TensorType, unknownDim, type Value } from "../../ir/index.ts";
import { entriesOf, mapOf } from "./entries.ts";
import type { ValueInfoProto } from "./protos.ts";

const agree = (a: TensorType | undefined, b: TensorType): boolean =>
  a?.dtype === b.dtype &&
  ((a.shape === undefined && b.shape === undefined) || sameShape(a.shape?.map(known), b.shape?.map(known)));
/** Here two unknown extents are equal: they are written alike. */
const known = (dim: Dim): Dim => (dim === unknownDim ? "unknown" : dim);

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
