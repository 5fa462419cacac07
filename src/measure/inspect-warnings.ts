import { allGraphs, type Dim, definedValues, describeNode, type Model, type Node, type Value } from "../ir/index.ts";
import type { CostReport, ShapeReport } from "../ops/index.ts";
import type { InspectWarning } from "./inspect-schema.ts";
import type { WeightFindings } from "./inspect-weights.ts";

/** Below this opset, exporters were young: several ops still carried shapes and axes as attributes. */
const oldOpset = 11;
const maxSubjects = 20;

export interface InspectFacts {
  readonly model: Model;
  /** With free extents kept symbolic. */
  readonly shapes: ShapeReport;
  /** The model at the working opset, or as it is where it cannot be upgraded; costs are of this one. */
  readonly upgraded: Model;
  readonly cost: CostReport;
  readonly weights: WeightFindings;
  /** Why the model could not be upgraded to the working opset. */
  readonly notUpgraded: string | undefined;
}

const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

/** A warning about a list of things; none when the list is empty. */
function about(
  code: InspectWarning["code"],
  subjects: readonly string[],
  message: (count: number) => string,
): readonly InspectWarning[] {
  return subjects.length === 0 ? [] : [{ code, message: message(subjects.length), subjects: subjects.slice(0, maxSubjects) }];
}

/** Everything that a person should know before trusting or converting the model, most serious first. */
export function inspectWarnings(facts: InspectFacts): InspectWarning[] {
  return [...weightWarnings(facts.weights), ...shapeWarnings(facts), ...structureWarnings(facts.model), ...dimWarnings(facts)];
}

const weightWarnings = ({ notANumber, infinite, allZero }: WeightFindings): InspectWarning[] => [
  ...about(
    "WEIGHTS_NOT_A_NUMBER",
    notANumber,
    (n) => `${plural(n, "weight tensor holds", "weight tensors hold")} NaN: outputs will be NaN too.`,
  ),
  ...about("WEIGHTS_INFINITE", infinite, (n) => `${plural(n, "weight tensor holds", "weight tensors hold")} infinite values.`),
  ...about(
    "WEIGHTS_ALL_ZERO",
    allZero,
    (n) => `${plural(n, "weight tensor is", "weight tensors are")} all zero: the layer does nothing.`,
  ),
];

function shapeWarnings({ shapes, upgraded, cost, notUpgraded }: InspectFacts): InspectWarning[] {
  const unknown = [...allGraphs(upgraded.graph)].flatMap((graph) =>
    [...definedValues(graph)].filter((value) => !shapes.info.get(value)?.shape && !value.foreignType),
  );
  const costless = cost.unknown.map(({ node, reason }) => `${describeNode(node)}: ${reason}`);
  return [
    ...about(
      "INVALID",
      shapes.warnings,
      (n) => `${plural(n, "node or declared type does", "nodes or declared types do")} not fit the rest of the model.`,
    ),
    ...about(
      "UNKNOWN_OPS",
      shapes.unknownOps,
      (n) => `${plural(n, "op")} without a record: no shapes, costs or compression for ${n === 1 ? "it" : "them"}.`,
    ),
    ...(notUpgraded ? about("NOT_UPGRADED", [notUpgraded], () => "The model cannot be upgraded to the working opset.") : []),
    ...about(
      "UNKNOWN_SHAPES",
      unknown.map((value) => value.name),
      (n) => `The shape of ${plural(n, "value")} is not known.`,
    ),
    ...about(
      "UNKNOWN_COSTS",
      costless,
      (n) => `The cost of ${plural(n, "node is", "nodes are")} not known; totals leave ${n === 1 ? "it" : "them"} out.`,
    ),
  ];
}

function structureWarnings(model: Model): InspectWarning[] {
  const { graph, opset } = model;
  const asInputs = graph.inputs.filter((value) => value.constant);
  const unused = [...graph.initializers].filter(
    (value) => value.uses.size === 0 && !value.isGraphOutput && !isReadInside(value, model),
  );
  return [
    ...about(
      "OLD_OPSET",
      opset > 0 && opset < oldOpset ? [`opset ${opset}`] : [],
      () => `The model is of opset ${opset}; \`simplify\` brings it up to date.`,
    ),
    ...about(
      "INITIALIZERS_AS_INPUTS",
      asInputs.map((v) => v.name),
      (n) =>
        `${plural(n, "initializer is", "initializers are")} also graph inputs: runtimes may not fold them. \`simplify --fix-overridable\` makes them constants.`,
    ),
    ...about(
      "UNUSED_INITIALIZERS",
      unused.map((v) => v.name),
      (n) => `${plural(n, "initializer is", "initializers are")} not used. \`simplify\` removes them.`,
    ),
    ...about(
      "UNUSED_NODES",
      deadNodes(model).map(describeNode),
      (n) => `The results of ${plural(n, "node")} are never used. \`simplify\` removes them.`,
    ),
  ];
}

/** Outputs of subgraphs are reads that the use lists do not show. */
const isReadInside = (value: Value, model: Model): boolean =>
  [...allGraphs(model.graph)].some((graph) => graph !== model.graph && graph.outputs.includes(value));

function deadNodes(model: Model): Node[] {
  const { graph } = model;
  const kept = new Set<Value>([...allGraphs(graph)].flatMap((each) => each.outputs));
  return [...graph.nodes].filter((node) => node.outputs.every((value) => value.uses.size === 0 && !kept.has(value)));
}

function dimWarnings({ upgraded, shapes }: InspectFacts): InspectWarning[] {
  const isFree = (dim: Dim): boolean => typeof dim !== "number";
  const shapeOf = (value: Value) => shapes.info.get(value)?.shape;
  // A dynamic batch is what most models have, and runtimes handle it; other free axes keep them from planning memory.
  const inner = upgraded.graph.inputs.filter((value) => !value.constant && shapeOf(value)?.slice(1).some(isFree));
  const outputs = upgraded.graph.outputs.filter((value) => shapeOf(value)?.includes("?"));
  return [
    ...about(
      "DYNAMIC_DIMS",
      inner.map((value) => `${value.name} [${shapeOf(value)}]`),
      (n) =>
        `${plural(n, "input has", "inputs have")} free extents beside the batch; costs count them as 1. Fix them with --shape.`,
    ),
    ...about(
      "DYNAMIC_DIMS",
      outputs.map((value) => value.name),
      (n) => `The extents of ${plural(n, "output")} depend on the data.`,
    ),
  ];
}
