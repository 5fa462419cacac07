import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/** A sparse tensor in ONNX coordinate form: `values` [NNZ], `indices` [NNZ] or [NNZ, rank]. */
export interface SparseTensor {
  readonly values: Tensor;
  readonly indices: Tensor;
  readonly shape: readonly number[];
}

/** Types other than dense tensors (sequence, map, optional, sparse, opaque), kept as the encoded TypeProto. */
export interface ForeignType {
  readonly kind: "sequence" | "map" | "optional" | "sparse" | "opaque" | "tensor";
  readonly encoded: Uint8Array;
}

/** Attribute values by ONNX's own type names. Integers beyond 2^53 are bigint; `strings` that are not UTF-8 stay bytes. */
export type Attribute = AttributeContent & {
  /** Encoded fields of the file that have no place here (doc string), written back as they are. */
  readonly fields?: Uint8Array;
};
type AttributeContent =
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "int"; readonly value: number | bigint }
  | { readonly type: "string"; readonly value: string | Uint8Array }
  | { readonly type: "tensor"; readonly value: Tensor }
  | { readonly type: "graph"; readonly value: Graph }
  | { readonly type: "sparse_tensor"; readonly value: SparseTensor }
  | { readonly type: "type_proto"; readonly value: ForeignType }
  | { readonly type: "floats"; readonly value: readonly number[] }
  | { readonly type: "ints"; readonly value: readonly (number | bigint)[] }
  | { readonly type: "strings"; readonly value: readonly (string | Uint8Array)[] }
  | { readonly type: "tensors"; readonly value: readonly Tensor[] }
  | { readonly type: "graphs"; readonly value: readonly Graph[] }
  | { readonly type: "sparse_tensors"; readonly value: readonly SparseTensor[] }
  | { readonly type: "type_protos"; readonly value: readonly ForeignType[] }
  /** Inside a function body: stands for the caller's attribute `reference`, of ONNX type number `typeCode`. */
  | { readonly type: "reference"; readonly value: string; readonly typeCode: number };

export type AttributeType = Attribute["type"];

/** What `graph.node(...)` accepts for an attribute: plain JavaScript values get the obvious type; pass an Attribute to be explicit. */
export type AttributeInput = number | bigint | string | readonly number[] | readonly string[] | Tensor | Graph | Attribute;
