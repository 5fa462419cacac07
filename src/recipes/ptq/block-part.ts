import type { Value } from "../../ir/index.ts";
import { quantizeLinear } from "../../ops/quantize-linear.ts";
import { lookupOp } from "../../ops/registry.ts";
import { cutModel, valuesByName } from "../../passes/cut.ts";
import type { Block } from "../../passes/quantize/blocks.ts";
import type { Imitation } from "../imitation.ts";
import type { Part } from "./block-types.ts";

/** Where the quantized graph carries a float value: behind its pair where it has one that all readers share, else the value itself. */
function counterparts({ model, points }: Imitation): Map<string, string> {
  const found = new Map<string, string>();
  for (const node of model.graph.nodes) {
    if (lookupOp(node, model.opsets) !== quantizeLinear) continue;
    const from = (node.inputs[0] as Value).name;
    const behind = node.output.soleConsumer?.output.name;
    if (behind) found.set(points.get(from) ?? from, behind);
  }
  return found;
}

export function cutImitation(imitation: Imitation, block: Block): Part {
  const behind = counterparts(imitation);
  const { model } = imitation;
  const known = valuesByName(model);
  const inputs = block.inputs.flatMap((name) => [name, behind.get(name)]).filter((name) => name !== undefined && known.has(name));
  const outputs = block.outputs.map((name) => behind.get(name) ?? name);
  const part = cutModel(model, { inputs: (inputs as string[]).map((name) => ({ name })), outputs });
  return { model: part, outputs };
}

/** Quantize nodes' inputs in the part. */
export const groupNames = (_: Imitation, { model }: Part): string[] =>
  [...model.graph.nodes].flatMap((node) =>
    lookupOp(node, model.opsets) === quantizeLinear ? [(node.inputs[0] as Value).name] : [],
  );
