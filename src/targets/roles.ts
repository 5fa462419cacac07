import type { IntegerOp } from "../passes/quantize/row.ts";

/** Integer arithmetic is the gain. */
export const anchor: IntegerOp = { role: "anchor" };
/** Worth it only where its inputs are quantized already. */
export const follow: IntegerOp = { role: "follow" };
/** Moves or selects elements. */
export const move: IntegerOp = { role: "move" };

/** The same role for several ops. */
export const each = (op: IntegerOp, ...types: readonly string[]): Readonly<Record<string, IntegerOp>> =>
  Object.fromEntries(types.map((type) => [type, op]));
