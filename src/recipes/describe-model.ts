import { type Graph, isStatic, type Model, type Value } from "../ir/index.ts";
import type { OpProfile } from "../measure/profile.ts";
import { type CostReport, modelCost } from "../ops/cost.ts";
import { peakActivationBytes } from "../ops/liveness.ts";
import type { Manifest } from "./manifest.ts";

const portsOf = (values: readonly Value[]): Manifest["model"]["inputs"] =>
  values.map(({ name, type }) => ({ name, dtype: type?.dtype ?? "unknown", shape: [...(type?.shape ?? [])] }));

/** Costs are of the simplified graph: what a runtime will execute. Null where shapes stay unknown. */
export function describeModel(
  model: Model,
  simplified: Model,
  file: { readonly path: string; readonly bytes: number; readonly digest: string },
): { readonly facts: Manifest["model"]; readonly cost: CostReport } {
  const cost = modelCost(simplified);
  const known = cost.unknown.length === 0 || cost.total.macs > 0;
  return {
    cost,
    facts: {
      ...file,
      opset: model.opset,
      nodes: model.graph.nodeCount,
      parameters: modelCost(model).total.parameters,
      macs: known ? cost.total.macs : null,
      peakActivationBytes: known ? peakActivationBytes(simplified) : null,
      inputs: portsOf(model.graph.inputs.filter((value) => !value.constant)),
      outputs: portsOf(model.graph.outputs),
    },
  };
}

/** One row per node with weights or work, with its time in the original where the profiler names it. */
export function layersOf(graph: Graph, cost: CostReport, profile: OpProfile | undefined): Manifest["layers"] {
  const times = new Map(profile?.nodes.map(({ node, ms }) => [node, ms]));
  const layers: Manifest["layers"] = [];
  for (const node of graph.nodes) {
    const own = cost.nodes.get(node);
    if (!own || (own.macs === 0 && own.parameters === 0)) continue;
    const name = node.name || (node.outputs[0]?.name ?? "");
    const shape = node.outputs[0]?.type?.shape;
    const output = shape ? `[${shape.join(",")}]` : isStatic(shape) ? "" : "?";
    layers.push({
      node: name,
      opType: node.opType,
      output,
      macs: own.macs,
      parameters: own.parameters,
      baselineMs: times.get(name) ?? null,
    });
  }
  return layers;
}
