import type { Node } from "../../ir/index.ts";
import { type ChannelLink, type OpDef, readAttributes } from "../../ops/index.ts";
import type { NodePlan } from "./plan.ts";

function linksOf({ node, def }: Pick<NodePlan, "node" | "def">): readonly ChannelLink[] {
  if (typeof def.channels !== "function") return [];
  return def.channels({
    attributes: readAttributes(def.attributes, node.attributes, () => undefined as never),
    inputShapes: node.inputs.map((input) => input?.type?.shape),
    outputShapes: node.outputs.map((output) => output.type?.shape),
  });
}

/** The axis of the activation and the axis of the weight that count the same channels. */
export function linkedAxes(plan: NodePlan): { input: number; weight: number } | undefined {
  const { weight, activations } = plan;
  if (!weight) return undefined;
  for (const link of linksOf(plan)) {
    const ends = [link.a, link.b];
    const input = ends.find((end) => end.port === "input" && end.index === activations[0]);
    const other = ends.find((end) => end.port === "input" && end.index === weight.index);
    if (input && other && !link.offset && (link.repeat ?? 1) === 1) return { input: input.axis, weight: other.axis };
  }
  return undefined;
}

/** The axis of the weight that counts output channels, per channel or not, and that of the output. */
export function outputAxes(plan: NodePlan): { weight: number; output: number } | undefined {
  const { weight, def, node } = plan;
  const facet = def.quantization?.weight;
  const rank = weight && node.inputs[weight.index]?.type?.shape?.length;
  if (!weight || !facet || rank === undefined) return undefined;
  const axis = facet.channelAxis(
    readAttributes(def.attributes, node.attributes, () => undefined as never),
    rank,
  );
  const own = axis < 0 ? axis + rank : axis;
  const output = linkedOutputAxis(node, def, { port: weight.index, axis: own });
  return output === undefined ? undefined : { weight: own, output };
}

/** The axis of the first output that counts the same channels as an axis of an input. */
export function linkedOutputAxis(node: Node, def: OpDef, { port, axis }: { port: number; axis: number }): number | undefined {
  for (const link of linksOf({ node, def })) {
    const ends = [link.a, link.b];
    const from = ends.find((end) => end.port === "input" && end.index === port && end.axis === axis);
    const to = ends.find((end) => end.port === "output" && end.index === 0);
    if (from && to && !link.offset && (link.repeat ?? 1) === 1) return to.axis;
  }
  return undefined;
}
