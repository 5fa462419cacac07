import { toNumbers, type Value } from "../../../ir/index.ts";
import { nodeKey } from "../plan.ts";
import { integerBounds, middleOf, type QuantizationRow } from "../row.ts";
import type { Port, QdqGraph, Scheme, Unit } from "./qdq-graph.ts";
import type { LegalityViolation } from "./violation.ts";

type Violations = Iterable<LegalityViolation>;

/** A tensor of activations: who quantizes it, and how. */
interface Activation {
  readonly node: string;
  readonly value: string;
  readonly scheme: Scheme;
}

/** Everything quantized at run time, and constants that stand in for activations (the other side of an Add). */
function* activationsOf(graph: QdqGraph): Iterable<Activation> {
  for (const node of graph.quantizers) {
    const value = node.inputs[0] as Value;
    const scheme = graph.schemeOf(node);
    if (scheme && !value.constant) yield { node: nodeKey(node), value: value.name, scheme };
  }
  for (const node of graph.dequantizers) {
    const value = node.inputs[0] as Value;
    const scheme = graph.schemeOf(node);
    if (scheme && !value.constant && value.isGraphInput) yield { node: nodeKey(node), value: value.name, scheme };
  }
  for (const { node, activations } of graph.units)
    for (const { value, scheme, constant } of activations.values())
      if (scheme && constant) yield { node: nodeKey(node), value: value.name, scheme };
}

export function* activationRules(graph: QdqGraph, row: QuantizationRow): Violations {
  const { dtype, symmetric, powerOfTwo } = row.activation;
  for (const { node, value, scheme } of activationsOf(graph)) {
    const at = { node, value };
    if (scheme.dtype !== dtype)
      yield {
        rule: "activation-dtype",
        ...at,
        message: `"${value}" is quantized to ${scheme.dtype}, but ${row.name} computes activations in ${dtype}: quantize the float model for this target.`,
      };
    if (scheme.axis !== undefined)
      yield {
        rule: "activation-granularity",
        ...at,
        message: `"${value}" has ${scheme.scales.length} scales, but ${row.name} takes one for a whole activation: quantize it per tensor.`,
      };
    const middle = middleOf(scheme.dtype);
    if (symmetric && scheme.zeroPoints.some((zero) => zero !== middle))
      yield {
        rule: "activation-zero-point",
        ...at,
        message: `"${value}" has zero point ${scheme.zeroPoints.find((zero) => zero !== middle)}, but ${row.name} quantizes activations symmetrically: use ${middle} and a range of equal ends.`,
      };
    if (powerOfTwo) yield* powersOfTwo(scheme, at, row);
  }
}

export function* weightRules(graph: QdqGraph, row: QuantizationRow): Violations {
  for (const unit of graph.units) {
    const scheme = unit.weight?.scheme;
    if (!unit.weight || !scheme) continue;
    const at = { node: nodeKey(unit.node), value: unit.weight.value.name };
    const dtype = unit.op?.weightDtype ?? row.weight.dtype;
    if (scheme.dtype !== dtype && (unit.op?.weightDtype || scheme.dtype !== row.weight.wideDtype))
      yield {
        rule: "weight-dtype",
        ...at,
        message: `Weights "${at.value}" are ${scheme.dtype}, but ${row.name} wants ${dtype} here: quantize the float weights for this target.`,
      };
    const middle = middleOf(scheme.dtype);
    if (row.weight.symmetric !== false && scheme.zeroPoints.some((zero) => zero !== middle))
      yield {
        rule: "weight-zero-point",
        ...at,
        message: `Weights "${at.value}" have zero points other than ${middle}, but ${row.name} takes symmetric weights only: quantize them symmetrically.`,
      };
    yield* weightGranularity(unit, scheme, row, at);
    yield* weightRange(scheme, row, at);
    if (row.weight.powerOfTwo) yield* powersOfTwo(scheme, at, row);
  }
}

type Place = Pick<LegalityViolation, "node" | "value">;

function* weightGranularity({ op, node, weight }: Unit, { axis }: Scheme, row: QuantizationRow, at: Place): Violations {
  if (axis === undefined) return;
  const perChannel = row.weight.perChannel && op?.perChannel !== false;
  if (perChannel && axis === weight?.axis) return;
  const what = perChannel
    ? `are scaled ${axis === "blocks" ? "in blocks" : `along axis ${axis}`}, but the output channels of ${node.opType} are axis ${weight?.axis}: scale that one`
    : `have a scale per channel, but ${row.name} takes one scale for the weights of ${node.opType}: quantize them per tensor`;
  yield { rule: "weight-granularity", ...at, message: `Weights "${at.value}" ${what}.` };
}

function* weightRange(scheme: Scheme, row: QuantizationRow, at: Place): Violations {
  const { narrowRange, bits = 8, wideDtype } = row.weight;
  const reduceRange = row.weight.reduceRange && scheme.dtype !== wideDtype;
  if (!scheme.integers || !(narrowRange || reduceRange || bits < 8)) return;
  const middle = middleOf(scheme.dtype);
  const [low, high] = integerBounds("int8", { narrow: narrowRange === true, reduced: reduceRange });
  const most = 2 ** (bits - 1) - 1;
  const [least, largest] = [Math.max(low, -most - (narrowRange ? 0 : 1)), Math.min(high, most)];
  const outside = toNumbers(scheme.integers).find((q) => q - middle < least || q - middle > largest);
  if (outside !== undefined)
    yield {
      rule: "weight-range",
      ...at,
      message: `Weights "${at.value}" hold ${outside}, outside ${least + middle} to ${largest + middle} of ${row.name}: round them to that range.`,
    };
}

function* powersOfTwo({ scales }: Scheme, at: Place, row: QuantizationRow): Violations {
  const other = scales.find((scale) => 2 ** Math.round(Math.log2(scale)) !== scale);
  if (other !== undefined)
    yield {
      rule: "power-of-two",
      ...at,
      message: `Scale ${other} of "${at.value}" is no power of two, but ${row.name} rescales by shifts: round the scale up to one.`,
    };
}

/**
 * How far a bias's scale may be from s_x·s_w, relatively. The kernel never reads it: it adds the integers to an accumulator that counts in
 * s_x·s_w, so a difference d moves the bias by d of itself. At 1e-3 a bias of a full 8-bit range (255 steps) moves by a quarter of a step,
 * which rounding hides; products rounded to float32 differ by 1e-7 and scales that went through float16 by 5e-4.
 */
const biasTolerance = 1e-3;

export function* biasRules(graph: QdqGraph, row: QuantizationRow): Violations {
  for (const { node, bias, weight, activations, integer } of graph.units) {
    if (!bias || !integer) continue;
    const at = { node: nodeKey(node), value: bias.value.name };
    if (row.bias === "float32") {
      if (bias.scheme)
        yield {
          rule: "bias-dtype",
          ...at,
          message: `Bias "${at.value}" is stored as ${bias.scheme.dtype}, but ${row.name} adds it in float: leave it float32.`,
        };
    } else if (bias.scheme?.dtype !== "int32") {
      const dtype = bias.scheme?.dtype ?? "float";
      yield {
        rule: "bias-dtype",
        ...at,
        message: `Bias "${at.value}" is ${dtype}, but ${row.name} adds int32: store it as int32 in steps of input scale times weight scale.`,
      };
    } else yield* biasScale(bias.scheme, [...activations.values()][0], weight, at, row);
  }
}

function* biasScale(
  bias: Scheme,
  input: Port | undefined,
  weight: Port | undefined,
  at: Place,
  row: QuantizationRow,
): Violations {
  const [x, w] = [input?.scheme?.scales[0], weight?.scheme?.scales];
  if (x === undefined || !w) return;
  const count = Math.max(w.length, bias.scales.length);
  for (let c = 0; c < count; c++) {
    const expected = x * (w[w.length === 1 ? 0 : c] ?? Number.NaN);
    const found = bias.scales[bias.scales.length === 1 ? 0 : c] ?? Number.NaN;
    const zero = bias.zeroPoints[bias.zeroPoints.length === 1 ? 0 : c] ?? 0;
    if (Math.abs(found - expected) <= biasTolerance * expected && zero === 0) continue;
    const what = zero === 0 ? `scale ${found}` : `zero point ${zero}`;
    yield {
      rule: "bias-scale",
      ...at,
      message: `Bias "${at.value}" has ${what} in channel ${c}, but ${row.name} reads it with scale ${expected} (input times weight) and zero point 0: quantize it with these.`,
    };
    return;
  }
}
