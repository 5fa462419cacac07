import { type DataType, fromTypedArray, stringTensor, Tensor, type TensorType, typedArray } from "../ir/index.ts";

/** The part of onnxruntime's tensor that both the native and the web package share. */
export interface OrtTensor {
  readonly type: string;
  readonly data: unknown;
  readonly dims: readonly number[];
}
export interface OrtValueMetadata {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type?: string;
  readonly shape?: readonly (number | string)[];
}

/** onnxruntime's JavaScript names of element types that differ from ours: none so far. */
const packed = new Set<DataType>(["int4", "uint4"]);

/** Arguments of onnxruntime's tensor constructor; shares memory with ours where the bytes are aligned. */
export function toOrt(tensor: Tensor): [type: string, data: unknown, dims: readonly number[]] {
  if (tensor.dtype === "string") return ["string", tensor.strings ?? [], tensor.shape];
  if (packed.has(tensor.dtype)) return [tensor.dtype, tensor.bytes(), tensor.shape];
  return [tensor.dtype, typedArray(tensor), tensor.shape];
}

export function fromOrt(tensor: OrtTensor): Tensor {
  if (tensor.type === "string") return stringTensor(tensor.dims, tensor.data as string[]);
  const data = tensor.data as ArrayBufferView;
  if (packed.has(tensor.type as DataType)) return new Tensor(tensor.type as DataType, tensor.dims, data as Uint8Array);
  return fromTypedArray(tensor.type as DataType, tensor.dims, data);
}

export const metadataType = (metadata: OrtValueMetadata): TensorType => ({
  dtype: (metadata.type ?? "float32") as DataType,
  shape: metadata.shape?.map((dim) => (dim === "" || dim === -1 ? "?" : dim)),
});
