import type { z } from "zod";
import type { Value } from "../ir/index.ts";
import type { Net } from "./net.ts";

/** Counts that a paper or its reference code gives for some options. */
export interface Published {
  readonly options: Readonly<Record<string, unknown>>;
  readonly parameters: number;
  /** Multiply-accumulates of one sample; undefined where the source gives none. */
  readonly macs?: number;
  /** Largest relative difference: sources round. 0: exact. */
  readonly tolerance: { readonly parameters: number; readonly macs?: number };
  readonly source: string;
}

/** One architecture: builds the forward graph, logits last. */
export interface Architecture<O = unknown> {
  readonly name: string;
  readonly summary: string;
  /** Where it comes from. */
  readonly source: string;
  /** Options with their defaults; command-line flags are made from it. */
  readonly options: z.ZodType<O>;
  readonly published: readonly Published[];
  readonly build: (net: Net, options: O) => Value;
}

export const defineArchitecture = <O>(definition: Architecture<O>): Architecture<O> => definition;
