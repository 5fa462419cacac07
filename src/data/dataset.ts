import type { Feature, LabelKind, RawSample } from "./define.ts";

/** An opened data set: samples by position, read one at a time. */
export interface Dataset {
  /** Base name of the path. */
  readonly name: string;
  readonly path: string;
  /** Folder that relative file names (vocabularies) start from. */
  readonly folder: string;
  /** Name of the adapter. */
  readonly kind: string;
  /** One sentence on what was seen, for people. */
  readonly summary: string;
  readonly features: readonly Feature[];
  /** undefined: the samples carry no labels. */
  readonly label: LabelKind | undefined;
  readonly classes: readonly string[] | undefined;
  readonly length: number;
  readonly onCorrupt: "fail" | "skip";
  origin(index: number): string;
  sample(index: number): Promise<RawSample>;
}
