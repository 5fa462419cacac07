import { toFloat32, type Value } from "../../ir/index.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { activationParameters, type TensorParameters } from "./parameters.ts";
import type { NodePlan, QuantizationPlan } from "./plan.ts";
import type { Range } from "./ranges.ts";
import type { QuantizationRow } from "./row.ts";

/** Values that must share scale and zero point, as a disjoint-set forest. */
class Groups {
  readonly #parent = new Map<Value, Value>();

  find(value: Value): Value {
    const parent = this.#parent.get(value);
    if (!parent || parent === value) return value;
    const root = this.find(parent);
    this.#parent.set(value, root);
    return root;
  }

  join(a: Value, b: Value): void {
    this.#parent.set(this.find(a), this.find(b));
  }
}

/** Inputs whose scale the output must share on this target. */
function tiedInputs({ def, op, node, activations }: NodePlan): readonly Value[] {
  const output = def.quantization?.output;
  const tied = op.sameScale || (typeof output === "object" && "sameAs" in output && !op.freeScales);
  return tied ? activations.map((index) => node.inputs[index] as Value) : [];
}

export const fixedRangeOf = ({ def }: NodePlan): Range | undefined => {
  const output = def.quantization?.output;
  return typeof output === "object" && "range" in output ? { min: output.range[0], max: output.range[1] } : undefined;
};

/** Every quantized value of the plan with the representative of the values that must share its scale and zero point. */
export function scaleGroups(plan: QuantizationPlan): ReadonlyMap<Value, Value> {
  const groups = new Groups();
  const values = new Set<Value>();
  for (const nodePlan of plan.nodes.values()) {
    for (const index of nodePlan.activations) values.add(nodePlan.node.inputs[index] as Value);
    values.add(nodePlan.point);
    for (const input of tiedInputs(nodePlan)) groups.join(input, nodePlan.point);
  }
  return new Map([...values].map((value) => [value, groups.find(value)]));
}

/**
 * One scale and zero point for every quantized value, satisfying the same-scale ties (joined values take the union of their ranges) and
 * the known ranges. `rangeOf` gives a value's calibrated range.
 */
export function solveScales(
  plan: QuantizationPlan,
  row: QuantizationRow,
  rangeOf: (value: Value) => Range | undefined,
): ReadonlyMap<Value, TensorParameters> {
  const groups = scaleGroups(plan);
  const ranges = new Map<Value, Range>();
  const fixed = new Map<Value, Range>();
  for (const nodePlan of plan.nodes.values()) {
    for (const index of nodePlan.activations) collect(nodePlan.node.inputs[index] as Value, ranges, rangeOf);
    collect(nodePlan.point, ranges, rangeOf);
    const known = fixedRangeOf(nodePlan);
    if (known) fixed.set(nodePlan.point, known);
  }
  const merged = new Map<Value, Range>();
  for (const [value, range] of ranges) {
    const root = groups.get(value) as Value;
    const known = fixed.get(value);
    const own = known ? (row.fixedScales ? known : intersect(range, known)) : range;
    merged.set(root, union(merged.get(root), own));
  }
  const parameters = new Map<Value, TensorParameters>();
  for (const value of ranges.keys())
    parameters.set(value, activationParameters(merged.get(groups.get(value) as Value) as Range, row.activation));
  for (const { op, point } of plan.nodes.values()) {
    if (!op.fixedOutput) continue;
    const root = groups.get(point);
    for (const value of ranges.keys())
      if (groups.get(value) === root) parameters.set(value, { ...op.fixedOutput, dtype: row.activation.dtype });
  }
  return parameters;
}

function collect(value: Value, ranges: Map<Value, Range>, rangeOf: (value: Value) => Range | undefined): void {
  if (ranges.has(value)) return;
  const range = value.constant ? constantRange(toFloat32(value.constant)) : rangeOf(value);
  if (!range)
    throw new EdgewrightError("CALIBRATION_MISSING", `Value "${value.name}" was not observed during calibration.`, {
      subject: value.name,
      hint: "Calibrate on the same model that is quantized.",
    });
  ranges.set(value, range);
}

function constantRange(values: Float32Array): Range {
  let min = 0;
  let max = 0;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}

const union = (a: Range | undefined, b: Range): Range => (a ? { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) } : b);
const intersect = (a: Range, b: Range): Range => ({ min: Math.max(a.min, b.min), max: Math.min(a.max, b.max) });
