import { isStatic, type Node, type Value } from "../../../ir/index.ts";
import { activationParameters } from "../parameters.ts";
import { nodeKey } from "../plan.ts";
import type { FixedOutput, QuantizationRow } from "../row.ts";
import { positionsOf, type QdqGraph, type Scheme, type Unit } from "./qdq-graph.ts";
import type { LegalityViolation } from "./violation.ts";

type Violations = Iterable<LegalityViolation>;

/** Operator set and shapes: what concerns the whole file. */
export function* fileRules(graph: QdqGraph, row: QuantizationRow): Violations {
  const opset = graph.model.opsets.get("") ?? 1;
  if (row.maxOpset !== undefined && opset > row.maxOpset)
    yield {
      rule: "opset",
      node: null,
      value: null,
      message: `The model uses operator set ${opset}, but ${row.name} reads up to ${row.maxOpset}: convert it to an older one.`,
    };
  if (!row.staticShapes) return;
  const open = (value: Value): boolean => !isStatic(graph.typeOf(value)?.shape);
  for (const input of graph.model.graph.inputs)
    if (!input.constant && open(input))
      yield {
        rule: "static-shape",
        node: null,
        value: input.name,
        message: `Input "${input.name}" has open extents, but ${row.name} wants numbers: fix them, as with --shape ${input.name}=….`,
      };
  for (const node of graph.model.graph.nodes) {
    const result = node.outputs.find((output) => output.name && open(output));
    if (result && !node.inputs.some((input) => input && open(input)))
      yield {
        rule: "static-shape",
        node: nodeKey(node),
        value: result.name,
        message: `The shape of "${result.name}" depends on data or is unknown, but ${row.name} wants numbers: replace ${node.opType} or cut the model here.`,
      };
  }
}

/** Where activations stay float: no integers at all, or as weights only. */
export function* floatOnlyRules(graph: QdqGraph, row: QuantizationRow): Violations {
  const weightsOnly = row.floatScheme === "int8-weights";
  for (const node of [...graph.quantizers, ...graph.dequantizers]) {
    const source = node.inputs[0] as Value;
    const stored = source.constant !== undefined || source.producer?.inputs[0]?.constant !== undefined;
    if (weightsOnly && stored) continue;
    yield {
      rule: "float-only",
      node: nodeKey(node),
      value: source.name,
      message: `"${source.name}" is ${graph.quantizers.includes(node) ? "quantized" : "stored as integers"}, but ${row.name} computes in float: take the float model and ${weightsOnly ? "store its weights alone as int8" : "convert it to float16"}.`,
    };
  }
}

/** Quantize and dequantize nodes themselves. */
export function* pairRules(graph: QdqGraph, row: QuantizationRow): Violations {
  for (const node of [...graph.quantizers, ...graph.dequantizers])
    if (!graph.schemeOf(node))
      yield {
        rule: "constant-parameters",
        node: nodeKey(node),
        value: node.inputs[0]?.name ?? null,
        message: `Scale or zero point of ${nodeKey(node)} is computed, but ${row.name} reads them when it loads the file: make them constants.`,
      };
  for (const node of graph.dequantizers) {
    const producer = node.inputs[0]?.producer;
    const [own, first] = [graph.schemeOf(node), producer && graph.quantizers.includes(producer) && graph.schemeOf(producer)];
    if (own && first && !sameScheme(own, first))
      yield {
        rule: "pair",
        node: nodeKey(node),
        value: node.inputs[0]?.name ?? null,
        message: `${nodeKey(node)} reads "${node.inputs[0]?.name}" with another scale or zero point than it was written with: give both nodes the same.`,
      };
  }
}

const sameScheme = (a: Scheme, b: Scheme): boolean =>
  a.dtype === b.dtype && `${a.scales}` === `${b.scales}` && `${a.zeroPoints}` === `${b.zeroPoints}`;

/** What the target computes at all, and in integers. */
export function* opRules(graph: QdqGraph, row: QuantizationRow): Violations {
  const { floatOps } = row;
  if (!floatOps) return;
  const isFloat = (value: Value | undefined): boolean =>
    value !== undefined && graph.typeOf(value)?.dtype.startsWith("float") === true;
  const fused = new Set<Node>(graph.units.filter(({ integer }) => integer).flatMap(({ clamps }) => clamps));
  for (const { node, op, integer } of graph.units) {
    if (integer || (op && fused.has(node)) || floatOps[node.opType]) continue;
    if (![...node.inputs, ...node.outputs].some(isFloat)) continue;
    const at = { node: nodeKey(node), value: node.outputs[0]?.name ?? null };
    yield op
      ? {
          rule: "float-op",
          ...at,
          message: `${node.opType} computes in float, but ${row.name} has integers only: quantize its inputs, weights and result.`,
        }
      : {
          rule: "unsupported-op",
          ...at,
          message: `${row.name} has no kernel for ${node.opType}: replace it by ops of its list, or keep it outside the model.`,
        };
  }
}

/** Ranks and long axes of what integer kernels read and write. */
export function* rankRules(graph: QdqGraph, row: QuantizationRow): Violations {
  for (const unit of graph.units) {
    if (!unit.integer) continue;
    const read = [...unit.activations.values()].map(({ value }) => value);
    const rank = read[0] && graph.typeOf(read[0])?.shape?.length;
    const { ranks } = unit.op ?? {};
    const at = { rule: "rank", node: nodeKey(unit.node) } as const;
    if (ranks && rank !== undefined && !ranks.includes(rank))
      yield {
        ...at,
        value: read[0]?.name ?? null,
        message: `${unit.node.opType} reads rank ${rank}, but the integer kernel of ${row.name} takes rank ${ranks.join(" or ")}: reshape around it.`,
      };
    for (const value of [...read, ...unit.node.outputs]) {
      const problem = tooLarge(graph.typeOf(value)?.shape, row);
      if (problem) yield { ...at, value: value.name, message: `"${value.name}" ${problem}: reshape it or keep the node float.` };
    }
  }
}

function tooLarge(shape: readonly unknown[] | undefined, { name, maxRank, innermostAxes }: QuantizationRow): string | undefined {
  if (!shape) return undefined;
  if (maxRank !== undefined && shape.length > maxRank) return `has rank ${shape.length}, but ${name} takes at most ${maxRank}`;
  if (innermostAxes === undefined || shape.slice(0, -innermostAxes).every((dim) => dim === 1 || typeof dim !== "number"))
    return undefined;
  return `has shape [${shape}], but on ${name} only the innermost ${innermostAxes} axes may be longer than 1`;
}

/** Scales that must agree, and scales that are given. */
export function* scaleRules(graph: QdqGraph, row: QuantizationRow): Violations {
  for (const unit of graph.units) {
    if (!unit.integer) continue;
    const at = { node: nodeKey(unit.node), value: unit.node.output.name };
    const odd = tiedInputs(unit).find(({ scheme }) => unit.outputs.some((output) => scheme && !sameScheme(scheme, output)));
    if (odd)
      yield {
        rule: "tied-scales",
        ...at,
        message: `${unit.node.opType} reads "${odd.value.name}" and writes "${at.value}" with different scales or zero points, but ${row.name} passes integers on unchanged: give both the same.`,
      };
    const fixed = fixedOutput(unit, row);
    if (fixed && unit.outputs.some((output) => !matches(output, fixed)))
      yield {
        rule: "fixed-output",
        ...at,
        message: `${row.name} writes the result of ${unit.node.opType} with scale ${fixed.scale} and zero point ${fixed.zeroPoint}: quantize "${at.value}" with these.`,
      };
  }
}

function tiedInputs({ node, def, op, activations }: Unit) {
  const output = def?.quantization?.output;
  if (op?.sameScale) return [...activations.values()];
  if (!def || typeof output !== "object" || !("sameAs" in output) || op?.freeScales) return [];
  return output.sameAs.flatMap((name) => positionsOf(def, name, node).flatMap((index) => activations.get(index) ?? []));
}

function fixedOutput({ def, op }: Unit, row: QuantizationRow): FixedOutput | undefined {
  const output = def?.quantization?.output;
  if (op?.fixedOutput) return op.fixedOutput;
  if (!row.fixedScales || typeof output !== "object" || !("range" in output)) return undefined;
  return activationParameters({ min: output.range[0], max: output.range[1] }, row.activation);
}

/** Files hold scales as float32. */
const matches = ({ scales, zeroPoints }: Scheme, { scale, zeroPoint }: FixedOutput): boolean =>
  Math.abs((scales[0] as number) - scale) <= 1e-6 * scale && zeroPoints[0] === zeroPoint;
