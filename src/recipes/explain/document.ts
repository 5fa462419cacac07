import { chooseRange } from "../../passes/quantize/ranges.ts";
import type { ActivationStatistics } from "../../passes/quantize/statistics.ts";
import { representableRange } from "./integers.ts";
import type { Pairing, WatchedLayer, WatchedTensor } from "./pairing.ts";
import type { ActivationNoise, Explanation, Gain, LayerNoise, WeightNoise } from "./schema.ts";
import { decibels, type TensorTotals, type Totals } from "./totals.ts";
import { weightHistogram, weightNoise } from "./weights.ts";
import { suspectName, type WhatIf } from "./what-if.ts";

/** Layers whose weights are drawn. */
const drawnWeights = 6;

type Parts = Pick<Explanation, "layers" | "activations" | "weights" | "tables">;
type Gains = ReadonlyMap<string, Gain>;

/** The measured numbers as they go into the document. */
export function describeNoise(pairing: Pairing, totals: Totals, whatIfs: readonly WhatIf[]): Parts {
  const byKind = (kind: WhatIf["suspect"]["kind"]): Gains =>
    new Map(
      whatIfs
        .filter(({ suspect }) => suspect.kind === kind)
        .map(({ suspect, gain, error }) => [suspectName(suspect), { db: gain, error: Number.isFinite(error) ? error : null }]),
    );
  const [weightGains, tensorGains, tableGains] = [byKind("weights"), byKind("tensor"), byKind("table")];
  const layers = pairing.layers.map((layer) => describeLayer(layer, totals, weightGains, tensorGains));
  return {
    layers,
    activations: pairing.tensors.map((tensor) => describeActivation(tensor, pairing, totals, tensorGains)),
    weights: describeWeights(pairing, layers),
    tables: whatIfs.flatMap(({ suspect }) =>
      suspect.kind === "table"
        ? [{ node: suspect.table.key, sqnr: decibels(suspect.noise), gain: tableGains.get(suspect.table.key) ?? null }]
        : [],
    ),
  };
}

function describeLayer(layer: WatchedLayer, totals: Totals, weightGains: Gains, tensorGains: Gains): LayerNoise {
  const own = totals.layers.get(layer) as NonNullable<ReturnType<typeof totals.layers.get>>;
  const result = layer.output && totals.tensors.get(layer.output);
  return {
    node: layer.key,
    opType: layer.float.opType,
    value: layer.point.name,
    sqnr: decibels(own.accumulated.ratio),
    localSqnr: decibels(own.local.ratio),
    weightSqnr: layer.weight ? decibels(own.weights.ratio) : null,
    resultSqnr: result ? decibels(result.rounding.ratio) : null,
    offsetShare: own.offsetShare ?? null,
    weightGain: weightGains.get(layer.key) ?? null,
    resultGain: (layer.output && tensorGains.get(layer.output.reference.name)) ?? null,
  };
}

function describeActivation(tensor: WatchedTensor, pairing: Pairing, totals: Totals, gains: Gains): ActivationNoise {
  const own = totals.tensors.get(tensor) as TensorTotals;
  const { grid } = tensor;
  const { statistics, rounding } = own;
  const bulk = chooseRange(statistics, "percentile", { percentile: 99.9 });
  const finite = (x: number): number => (Number.isFinite(x) ? x : 0);
  return {
    value: tensor.reference.name,
    node: tensor.producer,
    readers: pairing.layers.filter(({ inputs }) => [...inputs.values()].includes(tensor)).map(({ key }) => key),
    dtype: grid.dtype,
    channels: grid.scales.length,
    scale: Math.max(...grid.scales),
    zeroPoint: grid.zeroPoints[grid.scales.indexOf(Math.max(...grid.scales))] ?? 0,
    range: [...representableRange(grid)],
    observed: [finite(statistics.min), finite(statistics.max)],
    bulk: [bulk.min, bulk.max],
    clipped: own.clipped / Math.max(1, own.count),
    clipNoise: rounding.noise === 0 ? 0 : own.clipNoise / rounding.noise,
    sqnr: decibels(rounding.ratio),
    gain: gains.get(tensor.reference.name) ?? null,
    histogram: coarse(statistics),
  };
}

const bins = 64;

/** The histogram between the extremes, in 64 bins; exact zeros apart. */
function coarse({ bins: fine, binWidth, reach, min, max, zeros }: ActivationStatistics): ActivationNoise["histogram"] {
  const counts = new Array<number>(bins).fill(0);
  if (reach === 0) return { low: 0, high: 0, counts, zeros };
  const [low, high] = [Math.min(0, min), Math.max(0, max)];
  const width = (high - low) / bins || 1;
  fine.forEach((count, i) => {
    if (count === 0) return;
    const centre = -reach + (i + 0.5) * binWidth;
    const bin = Math.min(bins - 1, Math.max(0, Math.floor((centre - low) / width)));
    counts[bin] = (counts[bin] as number) + count;
  });
  return { low, high, counts, zeros };
}

/** Weights of all layers; those with the most noise of their own with histograms. */
function describeWeights({ layers }: Pairing, noises: readonly LayerNoise[]): WeightNoise[] {
  const weighted = layers.flatMap((layer, i) =>
    layer.weight ? [{ layer, weight: layer.weight, noise: noises[i] as LayerNoise }] : [],
  );
  const worst = [...weighted]
    .sort((a, b) => (a.noise.weightSqnr ?? 200) - (b.noise.weightSqnr ?? 200))
    .slice(0, drawnWeights)
    .map(({ layer }) => layer);
  return weighted.map(({ layer, weight }) => ({
    ...weightNoise(layer, weight),
    histogram: worst.includes(layer) ? weightHistogram(weight) : null,
  }));
}
