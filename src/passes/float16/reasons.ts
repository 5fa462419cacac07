import type { Model, Node } from "../../ir/index.ts";
import { lookupOp, type OpDef } from "../../ops/index.ts";
import { nodeKey } from "../quantize/plan.ts";
import type { Float16Params } from "./params.ts";
import { computesHalf, usualHalf } from "./row.ts";
import { constantProblem, type HalfFacts, isFloat32 } from "./types.ts";

export const touchesFloat = (node: Node): boolean => [...node.inputs, ...node.outputs].some((value) => isFloat32(value?.type));

/** Half of the largest number: inputs that were not seen may be larger than those that were. */
export const limitOf = ({ limit }: Float16Params, { largest }: HalfFacts): number => limit ?? largest / 2;

/** Why a node computes in float32; undefined when it may compute in the 16-bit type. */
export function floatReason(node: Node, model: Model, params: Float16Params, half: HalfFacts): string | undefined {
  const key = nodeKey(node);
  const known = params.floatNodes.get(key);
  if (known) return known;
  if (params.exclude.includes(key)) return "excluded";
  if (params.weightsOnly) return `only weights are to be ${half.dtype}`;
  const def = lookupOp(node, model.opsets);
  return (
    opReason(node, def, params, half) ??
    rangeReason(node, params, half) ??
    sumReason(node, params, half) ??
    constantReason(node, def, half)
  );
}

function opReason(node: Node, def: OpDef | undefined, params: Float16Params, half: HalfFacts): string | undefined {
  if (!def || node.domain !== "") return `op is unknown, so its ${half.dtype} form is too`;
  if (node.outputs.some((output) => output.name && !output.type)) return "the type of an output is unknown";
  if (def.fixedFloat32 === true) return "its float inputs or outputs must be float32";
  if (!def.deterministic) return "draws random numbers, which differ from type to type";
  const row = params.row ?? usualHalf;
  const target = params.target ?? "the target";
  return computesHalf(row, half.dtype, node.opType) ? undefined : `${target} has no ${half.dtype} kernel for ${node.opType}`;
}

const short = (value: number): string => value.toPrecision(4);

function rangeReason(node: Node, params: Float16Params, half: HalfFacts): string | undefined {
  const limit = limitOf(params, half);
  for (const value of [...node.inputs, ...node.outputs]) {
    if (!value || value.constant || !isFloat32(value.type)) continue;
    const magnitude = params.magnitudes.get(value.name);
    if (magnitude === undefined) continue;
    if (magnitude > limit) return `value "${value.name}" reaches ${short(magnitude)}, beyond the limit of ${limit}`;
    // a tensor whose largest entry keeps fewer than nine bits
    if (magnitude > 0 && magnitude < half.smallestNormal / 4)
      return `value "${value.name}" never exceeds ${short(magnitude)}, below the normal numbers of ${half.dtype}`;
  }
  return wholeReason(node, params, half);
}

/** Positions, lengths and indices as floats: what is computed with them needs them exact. */
function wholeReason(node: Node, { magnitudes }: Float16Params, half: HalfFacts): string | undefined {
  for (const value of [...node.inputs, ...node.outputs]) {
    const { producer } = value ?? {};
    if (!value || !producer?.attributes.has("to") || !isFloat32(value.type)) continue;
    const from = producer.inputs[0]?.type?.dtype ?? "";
    if (!/^u?int(16|32|64)$/.test(from)) continue;
    const magnitude = magnitudes.get(value.name);
    if (magnitude !== undefined && magnitude <= half.wholeNumbers) continue;
    const seen = magnitude === undefined ? "whose range is unknown" : `up to ${magnitude}`;
    return `value "${value.name}" holds whole numbers ${seen}; ${half.dtype} has them all up to ${half.wholeNumbers}`;
  }
  return undefined;
}

function sumReason(node: Node, { sums }: Float16Params, { dtype, largest }: HalfFacts): string | undefined {
  const sum = sums.get(node.outputs[0]?.name ?? "");
  return sum !== undefined && sum > largest ? `sums inside reach ${short(sum)}, beyond ${dtype}'s ${largest}` : undefined;
}

function constantReason(node: Node, def: OpDef | undefined, half: HalfFacts): string | undefined {
  const output = def?.quantization?.output;
  const clamps = typeof output === "object" && "clamp" in output;
  for (const [index, value] of node.inputs.entries()) {
    if (!value?.constant || !isFloat32(value.type)) continue;
    const problem = constantProblem(value.constant, half, clamps && index > 0);
    if (problem) return `constant "${value.name}" ${problem}`;
  }
  for (const [name, attribute] of node.attributes) {
    if (attribute.type !== "float" || attribute.value === 0) continue;
    const magnitude = Math.abs(attribute.value);
    if (Number.isFinite(magnitude) && (magnitude > half.largest || magnitude < half.smallestNormal / 64))
      return `attribute ${name} is ${attribute.value.toPrecision(3)}, which ${half.dtype} does not hold`;
  }
  return undefined;
}
