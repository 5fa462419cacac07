import { broadcastDims, type Dim, numel, type Shape, type Value } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { input, link, output } from "./channel-links.ts";
import { type ChannelLink, defineOp, type PortAxis } from "./define.ts";
import { einsumGradient } from "./gradients/einsum.ts";
import { sumOfMagnitudes } from "./partial-sums.ts";
import type { Reject } from "./type-rules.ts";

interface Equation {
  /** One label per axis; "…" stands for all axes of the ellipsis. */
  readonly terms: readonly (readonly string[])[];
  readonly result: readonly string[];
}

const ellipsis = "…";

function labelsOf(term: string, reject: Reject): string[] {
  const labels = [...term.replaceAll("...", ellipsis)];
  const odd = labels.find((label) => label !== ellipsis && !/[A-Za-z]/.test(label));
  if (odd !== undefined) reject(`the equation has "${odd}" where a letter or "..." belongs`);
  return labels;
}

/** "ij,jk->ik"; without "->" the result has the ellipsis, then every label that occurs once, in alphabetical order. */
function parseEquation(equation: string, reject: Reject): Equation {
  const [left = "", right] = equation.replaceAll(" ", "").split("->");
  const terms = left.split(",").map((term) => labelsOf(term, reject));
  if (right !== undefined) return { terms, result: labelsOf(right, reject) };
  const all = terms.flat();
  const once = [...new Set(all)].filter((label) => label !== ellipsis && all.filter((other) => other === label).length === 1);
  return { terms, result: [...(all.includes(ellipsis) ? [ellipsis] : []), ...once.sort()] };
}

/** Labels with the ellipsis spelled out: its axes, counted from the last, are "…0", "…1" and so on. */
function spelled(labels: readonly string[], rank: number): string[] | undefined {
  const at = labels.indexOf(ellipsis);
  const count = at < 0 ? 0 : rank - (labels.length - 1);
  if (count < 0 || (at < 0 && labels.length !== rank)) return undefined;
  return labels.flatMap((label) => (label === ellipsis ? Array.from({ length: count }, (_, i) => `…${count - 1 - i}`) : [label]));
}

interface Spelled {
  readonly terms: readonly (readonly string[])[];
  readonly result: readonly string[];
}

function spell(equation: Equation, shapes: readonly (Shape | undefined)[], reject: Reject): Spelled | undefined {
  if (shapes.some((shape) => shape === undefined)) return undefined;
  if (shapes.length !== equation.terms.length)
    reject(`the equation has ${equation.terms.length} terms but there are ${shapes.length} inputs`);
  const terms = equation.terms.map((labels, i) => {
    const rank = shapes[i]?.length ?? 0;
    return spelled(labels, rank) ?? reject(`the term "${labels.join("")}" does not fit input ${i} of rank ${rank}`);
  });
  const broadcast = Math.max(0, ...terms.map((labels) => labels.filter((label) => label.startsWith(ellipsis)).length));
  const rank = equation.result.length - (equation.result.includes(ellipsis) ? 1 : 0) + broadcast;
  const result = equation.result.includes(ellipsis) ? spelled(equation.result, rank) : equation.result;
  return { terms, result: result ?? [] };
}

function extents({ terms }: Spelled, shapes: readonly (Shape | undefined)[], reject: Reject): Map<string, Dim> {
  const found = new Map<string, Dim>();
  terms.forEach((labels, i) => {
    labels.forEach((label, axis) => {
      const extent = shapes[i]?.[axis] as Dim;
      const merged = broadcastDims(found.get(label) ?? 1, extent);
      found.set(label, merged ?? reject(`the label "${label}" stands for ${found.get(label)} and for ${extent}`));
    });
  });
  return found;
}

const broken: Reject = (reason) => {
  throw new Error(`internal: ${reason}`); // inference has accepted the equation before
};

export const einsum = defineOp({
  type: "Einsum",
  since: 12,
  inputs: ["...Inputs"],
  outputs: ["Output"],
  attributes: { equation: attr.required.string() },
  infer: ({ Inputs }, { attributes, reject }) => {
    const dtype = Inputs.find((info) => info)?.dtype;
    if (!dtype) return {};
    const shapes = Inputs.map((info) => info?.shape);
    const equation = spell(parseEquation(attributes.equation, reject), shapes, reject);
    const known = equation && extents(equation, shapes, reject);
    return { Output: { dtype, shape: known && equation.result.map((label) => known.get(label) ?? 1) } };
  },
  partialSums: sumOfMagnitudes,
  // As one nest of loops over all labels; a runtime that contracts pair by pair does less.
  cost: ({ Inputs }, _, { equation }) => {
    const shapes = Inputs.map((info) => info?.shape);
    const parsed = spell(parseEquation(equation, broken), shapes, broken);
    const points = parsed ? numel([...extents(parsed, shapes, broken).values()] as number[]) : 0;
    const macs = points * Math.max(Inputs.length - 1, 0);
    return { macs, flops: Inputs.length > 1 ? 2 * macs : points };
  },
  channels: ({ attributes, inputShapes }) => {
    const parsed = spell(parseEquation(String(attributes.equation), broken), inputShapes, broken);
    if (!parsed) return [];
    const first = new Map<string, PortAxis>();
    const links: ChannelLink[] = [];
    const visit = (label: string, place: PortAxis): void => {
      const known = first.get(label);
      if (known) links.push(link(known, place));
      else first.set(label, place);
    };
    parsed.terms.forEach((labels, i) => {
      labels.forEach((label, axis) => {
        if (inputShapes[i]?.[axis] !== 1) visit(label, input(i, axis));
      });
    });
    parsed.result.forEach((label, axis) => {
      visit(label, output(0, axis));
    });
    return links;
  },
  gradient: ({ b, inputs: { Inputs }, grads: { Output: dy }, attributes: { equation }, wants }) => {
    if (!dy) return {};
    const inputs = Inputs as readonly Value[];
    const labels = spell(
      parseEquation(equation, broken),
      inputs.map((value) => b.shape(value)),
      broken,
    ) as Spelled;
    return { Inputs: inputs.map((_, i) => (wants("Inputs", i) ? einsumGradient(b, inputs, labels, i, dy) : undefined)) };
  },
});
