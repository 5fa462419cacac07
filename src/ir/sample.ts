import type { Tensor } from "./tensor.ts";

/** A box in pixels of the original image. */
export interface Box {
  readonly classIndex: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What is right for a sample, in the form that its task's metrics read. */
export type Target =
  | { readonly kind: "class"; readonly index: number }
  | { readonly kind: "boxes"; readonly boxes: readonly Box[] }
  | { readonly kind: "tensor"; readonly tensor: Tensor }
  | { readonly kind: "tokens"; readonly tokens: readonly number[] };

/** One sample after preprocessing, ready to run; batch axis included (1). */
export interface PreparedSample {
  /** Content digest of the raw sample: decides its split. */
  readonly id: string;
  /** File name or row, for messages. */
  readonly origin: string;
  /** Model input name → tensor. */
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly target: Target | undefined;
  /** What post-processing needs to map outputs back: e.g. letterbox scale, original width and height. */
  readonly geometry: Readonly<Record<string, number>>;
}

export type Outputs = Readonly<Record<string, Tensor>>;
