import type { AttributeType } from "../../ir/index.ts";

/** AttributeProto.AttributeType numbers. */
const codes = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
  tensors: 9,
  graphs: 10,
  sparse_tensor: 11,
  sparse_tensors: 12,
  type_proto: 13,
  type_protos: 14,
} as const satisfies Partial<Record<AttributeType, number>>;

export const attributeTypes: ReadonlyMap<number, keyof typeof codes> = new Map(
  Object.entries(codes).map(([type, code]) => [code, type as keyof typeof codes]),
);
export const attributeTypeCode = (type: keyof typeof codes): number => codes[type];
