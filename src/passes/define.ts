import type { z } from "zod";
import type { Model, Node, Tensor } from "../ir/index.ts";

/** Computes the outputs of a small model without inputs or with the given ones; supplied by whoever runs the pass. */
export type Evaluate = (model: Model, feeds?: Readonly<Record<string, Tensor>>) => Promise<Readonly<Record<string, Tensor>>>;

/** One thing a pass did or declined to do, for reports and `--explain`. */
export interface Note {
  readonly pass: string;
  /** Node or value name; "" for the whole model. */
  readonly subject: string;
  readonly kind: "did" | "skipped" | "warning";
  readonly message: string;
}

export interface PassContext<P> {
  /** Edited in place. */
  readonly model: Model;
  readonly params: P;
  readonly evaluate: Evaluate;
  readonly note: (kind: Note["kind"], subject: Node | string, message: string) => void;
}

export interface PassDef<P = unknown> {
  /** `area/verb-or-method`. */
  readonly name: string;
  readonly summary: string;
  /** CLI flags, recipe schema and search space come from here. */
  readonly params: z.ZodType<P>;
  readonly run: (context: PassContext<P>) => void | Promise<void>;
}

export const definePass = <P>(definition: PassDef<P>): PassDef<P> => definition;
