import { describeNode, type Node, type Value } from "../ir/index.ts";
import type { CustomGradient, GraphBuilder } from "../ops/builder.ts";
import { namePorts, type OpDef, readAttributes } from "../ops/index.ts";
import { recordOf } from "../ops/infer-node.ts";
import { microsoftQuantizeLinear, quantizeLinear } from "../ops/quantize-linear.ts";
import { EdgewrightError } from "../util/errors.ts";

/** A value and what its gradient is to begin with, of the value's shape. */
export interface Seed {
  readonly of: Value;
  readonly seed: Value;
}

/**
 * Reverse-mode automatic differentiation as a graph transform: appends the nodes that compute dLoss/dValue for each of `wrt`, and
 * returns these values (undefined where the loss does not depend on the value). Gradient rules are the op records'. Shapes must be
 * static, and expandable nodes expanded (`expandComposites`).
 *
 * @param loss a value of one element.
 * @throws GRADIENT_MISSING naming the node and op where an op on the way has no rule.
 */
export const differentiate = (b: GraphBuilder, loss: Value, wrt: readonly Value[]): readonly (Value | undefined)[] =>
  vectorJacobian(b, [{ of: loss, seed: b.expand(b.scalar(1), b.shape(loss)) }], wrt);

/** The same for Σ seed·value over several values: a vector–Jacobian product. */
export function vectorJacobian(b: GraphBuilder, seeds: readonly Seed[], wrt: readonly Value[]): readonly (Value | undefined)[] {
  const nodes = [...nodesBehind(seeds.map(({ of }) => of))].reverse();
  const reached = reachedFrom(b, wrt);
  const gradients = new Gradients(b);
  for (const { of, seed } of seeds) if (reached.has(of)) gradients.add(of, seed);
  for (const node of nodes) {
    if (!node.outputs.some((output) => reached.has(output))) continue;
    for (const output of node.outputs) {
      const custom = b.customGradients.get(output);
      const dy = custom && gradients.take(output);
      if (custom && dy) applyCustom(b, custom, dy, reached, gradients);
    }
    if (node.outputs.some((output) => gradients.has(output))) backward(b, node, reached, gradients);
  }
  return wrt.map((value) => gradients.total(value));
}

/** Contributions to each value's gradient, summed when asked for. */
class Gradients {
  readonly #b: GraphBuilder;
  readonly #parts = new Map<Value, Value[]>();

  constructor(b: GraphBuilder) {
    this.#b = b;
  }

  has = (value: Value): boolean => this.#parts.has(value);

  add(value: Value, part: Value): void {
    const known = this.#parts.get(value);
    if (known) known.push(part);
    else this.#parts.set(value, [part]);
  }

  total(value: Value): Value | undefined {
    const parts = this.#parts.get(value);
    if (!parts) return undefined;
    const sum = parts.reduce((a, part) => this.#b.add(a, part));
    this.#parts.set(value, [sum]);
    return sum;
  }

  take(value: Value): Value | undefined {
    const sum = this.total(value);
    this.#parts.delete(value);
    return sum;
  }
}

/** Every value that depends on one of `wrt` through a float path; the seeds themselves included. */
function reachedFrom(b: GraphBuilder, wrt: readonly Value[]): ReadonlySet<Value> {
  const reached = new Set<Value>(wrt);
  const carries = (value: Value): boolean => {
    const custom = b.customGradients.get(value);
    return custom ? custom.inputs.some((input) => reached.has(input)) : true;
  };
  for (const node of b.graph.nodes) {
    if (!node.inputs.some((input) => input && reached.has(input)) && !node.outputs.some((y) => b.customGradients.has(y)))
      continue;
    const plain = node.inputs.some((input) => input && reached.has(input)) && recordOf(node, b.opsets).gradient !== "none";
    for (const output of node.outputs) {
      const custom = b.customGradients.has(output);
      if ((custom && carries(output)) || (!custom && plain)) reached.add(output);
    }
  }
  return reached;
}

/** The nodes that the values are computed by, in execution order. */
function nodesBehind(values: readonly Value[]): readonly Node[] {
  const needed = new Set<Node>();
  const open = values.flatMap(({ producer }) => (producer ? [producer] : []));
  for (let node = open.pop(); node; node = open.pop()) {
    if (needed.has(node)) continue;
    needed.add(node);
    for (const input of node.inputs) if (input?.producer) open.push(input.producer);
  }
  return [...(values[0]?.graph.nodes ?? [])].filter((node) => needed.has(node));
}

function applyCustom(
  b: GraphBuilder,
  { inputs, rule }: CustomGradient,
  dy: Value,
  reached: ReadonlySet<Value>,
  gradients: Gradients,
): void {
  rule(b, dy).forEach((part, i) => {
    const input = inputs[i] as Value;
    if (part && reached.has(input)) gradients.add(input, part);
  });
}

function missing(node: Node): never {
  throw new EdgewrightError("GRADIENT_MISSING", `${describeNode(node)} cannot be trained through: the op has no gradient rule.`, {
    subject: describeNode(node),
    hint: "Freeze the parameters before it, or replace the op; docs/ops.md shows which ops have gradients.",
  });
}

function backward(b: GraphBuilder, node: Node, reached: ReadonlySet<Value>, gradients: Gradients): void {
  const def = recordOf(node, b.opsets);
  if (def.gradient === "none") return;
  const rule = typeof def.gradient === "object" ? def.gradient.rule : def.gradient;
  if (!rule) missing(node);
  const wanted = node.inputs.map((input) => input !== undefined && reached.has(input) && carriesGradient(b, input));
  if (!wanted.some(Boolean)) return;
  const results = rule({
    b,
    inputs: namePorts(def.inputs, node.inputs),
    outputs: namePorts(def.outputs, node.outputs),
    grads: namePorts(
      def.outputs,
      node.outputs.map((output) => gradients.take(output)),
    ),
    attributes: readAttributes(def.attributes, node.attributes, (reason) => {
      throw new Error(`internal: ${describeNode(node)}: ${reason}`);
    }),
    wants: (port: string, index = 0) => wanted[positionOf(def, port) + index] ?? false,
  } as never) as Readonly<Record<string, Value | readonly (Value | undefined)[] | undefined>>;
  collect(b, node, def, results, wanted, gradients);
}

/** Floats, and the integers between a quantize and a dequantize node: their gradient is that of the reals they stand for. */
const carriesGradient = (b: GraphBuilder, value: Value): boolean =>
  /^(b?float)/.test(value.type?.dtype ?? "float32") || (value.producer !== undefined && isQuantizer(b, value.producer));

const isQuantizer = (b: GraphBuilder, node: Node): boolean => {
  const record = recordOf(node, b.opsets);
  return record === quantizeLinear || record === microsoftQuantizeLinear;
};

const positionOf = (def: OpDef, port: string): number =>
  def.inputs.findIndex((name) => name === port || name === `${port}?` || name === `...${port}`);

function collect(
  b: GraphBuilder,
  node: Node,
  def: OpDef,
  results: Readonly<Record<string, Value | readonly (Value | undefined)[] | undefined>>,
  wanted: readonly boolean[],
  gradients: Gradients,
): void {
  for (const [port, result] of Object.entries(results)) {
    const start = positionOf(def, port);
    const parts = Array.isArray(result) ? (result as readonly (Value | undefined)[]) : [result as Value | undefined];
    parts.forEach((part, i) => {
      const input = node.inputs[start + i];
      if (!part || !input || !wanted[start + i]) return;
      checkShape(b, node, port, part, input);
      gradients.add(input, part);
    });
  }
}

function checkShape(b: GraphBuilder, node: Node, port: string, part: Value, input: Value): void {
  if (`${b.shape(part)}` !== `${b.shape(input)}`)
    throw new Error(
      `internal: the gradient rule of ${node.opType} gives [${b.shape(part)}] for input "${port}" of shape [${b.shape(input)}]`,
    );
}
