/** Rows of the left operand of a layer's matrix products. */
export interface ProductRows {
  readonly count: number;
  /** Writes rows `start` … `end` of a group, `stride` bytes apart; what lies past a row's depth is left alone. */
  readonly fill: (group: number, start: number, end: number, into: Uint8Array, stride: number) => void;
  /** Where output channel 0 of a row lies in the result, in elements; channels follow `channelStep` apart. */
  readonly outputAt: (row: number) => number;
  readonly channelStep: number;
  readonly outputShape: readonly number[];
}

/**
 * A node as the matrix products that onnxruntime's integer kernels compute for it: each output element is a sum over `depth` products of
 * a uint8 activation and an int8 weight, in an order that decides which products are neighbours.
 */
export interface ProductForm {
  readonly groups: number;
  /** Output channels of one group. */
  readonly columns: number;
  readonly depth: number;
  /** Whether the kernel adds neighbouring products in 16 bits; depthwise kernels add one by one in 32. */
  readonly paired: boolean;
  /** Position in the weight tensor of product `k` of an output channel (numbered through all groups). */
  readonly weightAt: (channel: number, k: number) => number;
  readonly rows: (x: Uint8Array, shape: readonly number[], zeroPoint: number) => ProductRows;
}
