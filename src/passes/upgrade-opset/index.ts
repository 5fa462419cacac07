import { z } from "zod";
import {
  allGraphs,
  allNodes,
  describeNode,
  type Graph,
  isFloat,
  type Model,
  type Node,
  type Tensor,
  type Value,
} from "../../ir/index.ts";
import { inferShapes, lookupOp } from "../../ops/index.ts";
import { EdgewrightError, fail } from "../../util/errors.ts";
import { definePass } from "../define.ts";
import { attributesToInputs } from "./attributes-to-inputs.ts";
import { legacy } from "./legacy.ts";
import { soleFloatType, type UpgradeContext, type UpgradeRule } from "./rule.ts";
import { semantics } from "./semantics.ts";

/** The operator set that op records, passes and targets work at. */
export const workingOpset = 21;

const rules = new Map<string, UpgradeRule[]>();
for (const upgrade of [...legacy, ...attributesToInputs, ...semantics])
  for (const op of upgrade.ops) {
    const key = `${op}@${upgrade.to}`;
    rules.set(key, [...(rules.get(key) ?? []), upgrade]);
  }
const ruledOps = new Set([...rules.keys()].map((key) => key.slice(0, key.indexOf("@"))));

const params = z.object({
  /** Operator set to reach; models that are younger stay as they are. */
  target: z.number().int().min(7).max(workingOpset).default(workingOpset),
});

/**
 * Brings the standard operators of a model, its inner graphs and its functions to the working operator set, version by version.
 * Other domains stay as they are. Stops (`UPGRADE_STOPPED`) at the first node that cannot be upgraded, before anything is changed.
 */
export const upgradeOpset = definePass({
  name: "upgrade-opset",
  summary: "Bring every standard operator to the working operator set",
  params,
  run({ model, params: { target }, note }) {
    const from = model.opset;
    const before = [...model.functions.map((fn) => fn.opsets.get("") ?? target), from || target];
    if (before.every((version) => version >= target)) return;
    if (!lossless(model, target)) upgrade(model.clone(), target); // a node that stops it must leave the model as it was
    upgrade(model, target);
    note("did", "", `operator set ${from} to ${target}`);
  },
});

/** Whether no rule applies at all, so that only the version number changes. */
function lossless(model: Model, target: number): boolean {
  const touched = (graph: Graph, from: number) =>
    [...allNodes(graph)].some((node) => node.domain === "" && isTouched(node, from, target));
  return !touched(model.graph, model.opset) && !model.functions.some((fn) => touched(fn.graph, fn.opsets.get("") ?? target));
}

function isTouched(node: Node, from: number, target: number): boolean {
  if (!isKnown(node, target)) return true;
  for (let version = from + 1; version <= target; version++) if (rules.has(`${node.opType}@${version}`)) return true;
  return false;
}

const isKnown = (node: Node, target: number): boolean =>
  ruledOps.has(node.opType) || lookupOp(node, new Map([["", target]])) !== undefined;

function upgrade(model: Model, target: number): void {
  const sole = soleFloatType(model);
  const { info } = inferShapes(model, { invalid: "warn", write: false });
  const typeOf = (value: Value | undefined) => value && (value.type ?? info.get(value));
  const context = (inFunction: boolean): UpgradeContext => ({
    constant: (node, tensor, role) => addConstant(node, tensor, role, inFunction),
    typeOf,
    floatType(value) {
      const type = typeOf(value);
      return type && isFloat(type.dtype) ? type.dtype : type ? undefined : sole;
    },
  });
  if (model.opset > 0 && model.opset < target) {
    upgradeGraph(model.graph, model.opset, target, context(false));
    model.opsets.set("", target);
    upgradeIrVersion(model);
    model.graph.changed();
  }
  model.functions = model.functions.map((fn) => {
    const from = fn.opsets.get("");
    if (from === undefined || from >= target) return fn;
    upgradeGraph(fn.graph, from, target, context(true));
    model.graph.changed();
    return { ...fn, opsets: new Map([...fn.opsets, ["", target]]) };
  });
}

function upgradeGraph(graph: Graph, from: number, target: number, context: UpgradeContext): void {
  for (const node of allNodes(graph))
    if (node.domain === "" && !isKnown(node, target)) stop(node, from, target, "this operator is not known");
  for (let version = from + 1; version <= target; version++)
    for (const inner of [...allGraphs(graph)]) for (const node of [...inner.nodes]) upgradeNode(node, version, context);
}

function upgradeNode(node: Node, version: number, context: UpgradeContext): void {
  if (node.domain !== "") return;
  for (const { apply } of rules.get(`${node.opType}@${version}`) ?? []) {
    const reference = [...node.attributes].find(([, attribute]) => attribute.type === "reference");
    const reason = reference ? `its attribute "${reference[0]}" comes from the function's caller` : apply(node, context);
    if (reason) stop(node, version - 1, version, reason);
  }
}

function stop(node: Node, from: number, to: number, reason: string): never {
  throw new EdgewrightError(
    "UPGRADE_STOPPED",
    `${describeNode(node)} stops the upgrade from operator set ${from} to ${to}: ${reason}.`,
    {
      subject: describeNode(node),
      hint: "Export the model again with a newer operator set.",
    },
  );
}

function addConstant(node: Node, tensor: Tensor, role: string, inFunction: boolean): Value {
  const graph = node.graph ?? fail("UPGRADE_STOPPED", `${describeNode(node)} is in no graph.`);
  const name = graph.freshName(`${node.name || node.outputs[0]?.name || node.opType}_${role}`);
  if (!inFunction) return graph.addInitializer(name, tensor);
  const constant = graph.node("Constant", [], { attributes: { value: tensor }, outputs: [name], before: node });
  constant.output.type = { dtype: tensor.dtype, shape: tensor.shape };
  return constant.output;
}

/**
 * Operator set 21 belongs to IR version 10. Before IR version 4 constants had to be listed as inputs; from then on that would mean
 * that callers may override them, so they leave the list.
 */
function upgradeIrVersion(model: Model): void {
  if (model.irVersion < 4) {
    const { inputs, initializers } = model.graph;
    const kept = inputs.filter((input) => !initializers.has(input));
    inputs.splice(0, inputs.length, ...kept);
  }
  model.irVersion = Math.max(model.irVersion, 10);
}
