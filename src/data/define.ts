import type { z } from "zod";
import type { Box, Tensor } from "../ir/index.ts";

/** Decoded pixels: rows of interleaved 8-bit channels, 3 = RGB, 1 = grey. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
}
/** An image as its file holds it, or already decoded. */
export type RawImage =
  | { readonly kind: "encoded"; readonly bytes: Uint8Array }
  | { readonly kind: "pixels"; readonly pixels: Pixels };

export interface Waveform {
  /** Mono, -1..1. */
  readonly samples: Float32Array;
  /** Hz. */
  readonly sampleRate: number;
}

/** What is right for a raw sample. Relative boxes are in 0..1 of the image; they become pixels once the image's size is known. */
export type RawLabel =
  | { readonly kind: "class"; readonly index: number }
  | { readonly kind: "boxes"; readonly boxes: readonly Box[]; readonly relative: boolean }
  | { readonly kind: "tensor"; readonly tensor: Tensor }
  | { readonly kind: "tokens"; readonly tokens: readonly number[] }
  | { readonly kind: "image"; readonly image: RawImage };
export type LabelKind = RawLabel["kind"];

/** One sample as stored, before any preprocessing. It carries at least one of image, text, tokens, waveform, tensors. */
export interface RawSample {
  /** File name or row, for messages. */
  readonly origin: string;
  readonly image?: RawImage;
  readonly text?: string;
  readonly tokens?: readonly number[];
  readonly waveform?: Waveform;
  /** Numeric features by name, without a batch axis. */
  readonly tensors?: Readonly<Record<string, Tensor>>;
  readonly label?: RawLabel;
}

/** What every sample of a data set offers: the field of RawSample, and the names that model inputs can be bound to. */
export interface Feature {
  readonly kind: "image" | "text" | "tokens" | "waveform" | "tensor";
  readonly name: string;
}

/** A guess that a path holds an adapter's kind of data; 1 is certain. */
export interface Detection {
  readonly confidence: number;
  /** What was seen, to be read after "because it". */
  readonly why: string;
}

/** Samples by position. Positions keep their order while the files do not change; `read` holds no more than one sample. */
export interface SampleSource {
  /** One sentence on what was found. */
  readonly summary: string;
  readonly features: readonly Feature[];
  readonly label: LabelKind | undefined;
  readonly classes?: readonly string[] | undefined;
  readonly length: number;
  /** Name of a sample that stays the same when other samples are added (a path, a row). */
  origin(index: number): string;
  read(index: number): Promise<RawSample>;
}

/** What adapters may ask about a path before it is opened. */
export interface PathFacts {
  readonly path: string;
  readonly directory: boolean;
  /** Base name in lower case, without ".gz". */
  readonly name: string;
  /** Names inside, when it is a folder; at most a few thousand, sorted. */
  readonly entries: readonly string[];
  /** The first bytes, when it is a file; decompressed when it is gzip. */
  readonly head: Uint8Array;
}

export interface DatasetAdapter {
  readonly name: string;
  readonly summary: string;
  readonly options: z.ZodType;
  readonly detect: (facts: PathFacts) => Promise<Detection | undefined> | Detection | undefined;
  readonly open: (path: string, options: unknown) => Promise<SampleSource>;
}

/**
 * One kind of stored data. The adapter only finds and reads samples: order, splits, caching and checksums are the loader's.
 * `options` rejects unknown keys, so that a misspelled option is noticed.
 */
export function defineDataset<S extends z.ZodType>(definition: {
  readonly name: string;
  readonly summary: string;
  readonly options: S;
  readonly detect: DatasetAdapter["detect"];
  readonly open: (path: string, options: z.output<S>) => Promise<SampleSource>;
}): DatasetAdapter {
  return { ...definition, open: (path, options) => definition.open(path, options as z.output<S>) };
}
