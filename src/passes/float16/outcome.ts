import type { Node, Value } from "../../ir/index.ts";
import type { Actor, Edge } from "./wiring.ts";

/** Which nodes compute in 16 bits, and why the others do not. */
export interface HalfPlan {
  readonly edges: ReadonlyMap<Value, Edge>;
  readonly half: ReadonlySet<Node>;
  /** Nodes with float32 tensors that stay float, with the reason; in execution order. */
  readonly floats: ReadonlyMap<Node, string>;
  /** Those of them that could compute in 16 bits but would need more casts than they save. */
  readonly grown: ReadonlySet<Node>;
  /** Whether this end of a value is in 16 bits. */
  readonly isHalf: (actor: Actor) => boolean;
}

/** What was written. */
export interface Emitted {
  /** Casts of activations. */
  casts: number;
  /** Constants stored in 16 bits, and their bytes before. */
  stored: number;
  storedBytes: number;
  /** Bytes, before, of the constants that a node reads behind a cast. */
  readonly widened: Map<Node, number>;
}
