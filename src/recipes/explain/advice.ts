import type { ActivationNoise, Advice, Explanation, Gain, LayerNoise, WeightNoise } from "./schema.ts";

type Facts = Pick<Explanation, "layers" | "activations" | "weights" | "tables" | "unmatched" | "sqnr"> & {
  /** Whether parts were put back to float at all. */
  readonly tried: boolean;
  /** Nodes that were tried in float together, and what the outputs gained. */
  readonly together: { readonly nodes: readonly string[]; readonly gain: number; readonly error: number } | undefined;
};

/** A gain below this (dB) is not worth an advice: at 0.3 dB, 7 % of the outputs' noise. */
const leastGain = 0.3;
/** Standard errors that a gain must exceed. */
const significant = 2;
/** Share of the outputs' noise of which the worst layer must be the cause, or the error counts as spread evenly. */
const dominantShare = 0.25;
/** dB at which outputs of 8-bit models are as good as float ones for most tasks: 1 % of the signal's amplitude. */
const fineSqnr = 40;
/** Mean share of a layer's noise that is a constant offset, above which corrected biases are worth a try. */
const muchOffset = 0.1;

const counts = (gain: Gain | null): gain is Gain =>
  gain !== null && gain.db >= leastGain && gain.db > significant * (gain.error ?? Number.POSITIVE_INFINITY);

const percent = (share: number): string => `${Number((100 * share).toPrecision(2))} %`;
const number = (x: number): string => String(Number(x.toPrecision(3)));
const cost = ({ db }: Pick<Gain, "db">): string => (db >= 200 ? "all that the outputs lose" : `${db.toFixed(1)} dB`);

type Draft = Omit<Advice, "gain" | "error">;

/** What to do next, from the numbers; the largest gain first, then what concerns the whole model. */
export function adviseOn(facts: Facts): Advice[] {
  const advice: Advice[] = [];
  const add = (draft: Draft, { db, error }: Gain): void => void advice.push({ ...draft, gain: db, error });
  for (const { node, weightGain } of facts.layers) {
    const weight = facts.weights.find((one) => one.node === node);
    if (weight && counts(weightGain)) add(forWeights(weight, weightGain), weightGain);
  }
  for (const activation of facts.activations)
    if (counts(activation.gain)) add(forActivation(activation, activation.gain), activation.gain);
  for (const { node, gain } of facts.tables) if (counts(gain)) add(forTable(node, gain), gain);
  advice.sort((a, b) => (b.gain ?? 0) - (a.gain ?? 0));
  return [...advice, ...forModel(facts, advice)];
}

const forTable = (node: string, gain: Gain): Draft => ({
  kind: "table",
  subject: node,
  text: `leave the table of "${node}" in float (--exclude "${node}"): its rounding alone costs ${cost(gain)}`,
});

/** Weights that clip more than this share have too small a scale, and those that use less of the type than this too large a one. */
const clippedWeights = 0.005;
const usedLevels = 0.5;

function forWeights(weight: WeightNoise, gain: Gain): Draft {
  const { node, levels, availableLevels, medianChannelLevels, clipped, perChannel, channels } = weight;
  const advise = (text: string): Draft => ({ kind: "weights", subject: node, text: `${text}; it costs ${cost(gain)}` });
  if (clipped > clippedWeights)
    return advise(`${percent(clipped)} of the weights of "${node}" are clipped: give them larger scales`);
  if (levels < usedLevels * availableLevels)
    return advise(
      `the weights of "${node}" use ${levels} of ${availableLevels} levels: their scales are ${number(availableLevels / levels)} times too large, quantize them anew`,
    );
  if (!perChannel && channels > 1 && medianChannelLevels < usedLevels * availableLevels)
    return advise(
      `the weights of "${node}" have one scale for ${channels} channels, of which the median one uses ${medianChannelLevels} of ${availableLevels} levels: one scale per channel, or equalization where the target takes one`,
    );
  return {
    kind: "float",
    subject: node,
    text: `leave "${node}" in float (--exclude "${node}"): the rounding of its weights alone costs ${cost(gain)}`,
  };
}

/** Ranges this many times wider than what nearly all values need waste their levels. */
const tooWide = 1.5;
const outliers = 4;

function forActivation(activation: ActivationNoise, gain: Gain): Draft {
  const { value, range, observed, bulk, clipped, clipNoise, node, readers } = activation;
  const width = (ends: readonly [number, number]): number => Math.max(ends[1], 0) - Math.min(ends[0], 0);
  const advise = (kind: Draft["kind"], text: string): Draft => ({
    kind,
    subject: value,
    text: `range [${number(range[0])}, ${number(range[1])}] of "${value}" ${text}; it costs ${cost(gain)}`,
  });
  if (clipNoise > 0.5)
    return advise("widen", `clips ${percent(clipped)} of its values: widen it (--ranges minmax, more --calibration samples)`);
  const ratio = width(range) / width(observed);
  if (ratio > tooWide) return advise("narrow", `is ${number(ratio)} times wider than its values: calibrate anew (--ranges mse)`);
  if (width(range) > outliers * width(bulk))
    return advise(
      "narrow",
      `is stretched by outliers, 99.9 % of its values lie in [${number(bulk[0])}, ${number(bulk[1])}]: narrow it (--ranges mse)`,
    );
  const flags = [...(node === null ? [] : [node]), ...readers].map((one) => `--exclude "${one}"`).join(" ");
  return {
    kind: "float",
    subject: value,
    text: `leave "${value}" in float (${flags}): its rounding alone costs ${cost(gain)}`,
  };
}

function forModel({ sqnr, layers, unmatched, together, tried }: Facts, found: readonly Advice[]): Advice[] {
  const advice: Advice[] = [];
  const whole = (kind: Advice["kind"], text: string): void =>
    void advice.push({ kind, subject: null, text, gain: null, error: null });
  if (together && together.nodes.length > 1) {
    const flags = together.nodes.map((node) => `--exclude "${node}"`).join(" ");
    const text = `these ${together.nodes.length} nodes in float gain ${cost({ db: together.gain })} together: ${flags}`;
    advice.push({ kind: "float", subject: null, text, gain: together.gain, error: together.error });
  }
  const worst = found[0]?.gain ?? 0;
  const even = 1 - 10 ** (-worst / 10) < dominantShare;
  if (sqnr >= fineSqnr) whole("fine", `the outputs keep ${sqnr.toFixed(1)} dB: little is left to gain`);
  else if (even && tried) {
    const most = worst > 0 ? `no part alone costs more than ${cost({ db: worst })}` : "no part alone costs more than chance";
    whole(
      "learned-rounding",
      `error accumulates evenly over ${layers.length} layers, ${most}: learned rounding and corrected biases (--ranges auto, more --steps)`,
    );
  }
  const offset = offsetOf(layers);
  if (offset > muchOffset && sqnr < fineSqnr)
    whole(
      "bias-correction",
      `${percent(offset)} of the layers' noise are constant offsets of channels: correct the biases (--bias-correction, or --ranges auto)`,
    );
  if (unmatched.length > 0)
    whole("unmatched", `${unmatched.length} integer nodes could not be compared with the float model; the list says why`);
  return advice;
}

/** Mean over layers with weights. */
function offsetOf(layers: readonly LayerNoise[]): number {
  const shares = layers.flatMap(({ offsetShare }) => (offsetShare === null ? [] : [offsetShare]));
  return shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length);
}
