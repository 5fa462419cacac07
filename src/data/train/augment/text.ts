import { z } from "zod";
import type { TokenForm } from "../form.ts";
import { defineAugmentation, probability } from "./define.ts";

const share = z.number().min(0).max(1).default(0.1);
const special = z.array(z.int()).default([]).describe("Tokens that stay, beside those the preprocessing knows as special");

const fixedTokens = (form: TokenForm, own: readonly number[]): ReadonlySet<number> => new Set([...form.special, ...own]);

export const tokenDropout = defineAugmentation({
  name: "token-dropout",
  summary: "replaces words by the unknown word, never special tokens",
  kind: "tokens",
  options: {
    share: share.describe("Share of the tokens that are replaced"),
    replacement: z
      .int()
      .nonnegative()
      .optional()
      .describe("Token that takes their place; default: the vocabulary's unknown word"),
    special,
    probability: probability(1),
  },
  unfit: (form, { replacement }) =>
    replacement === undefined && form.unknown === undefined
      ? "no token for unknown words is known (give `replacement`)"
      : undefined,
  apply(values, form, { share: dropped, replacement = form.unknown as number, special: own }, uniform) {
    const fixed = fixedTokens(form, own);
    for (let i = 0; i < values.length; i++) {
      // drawn for every position, so that what is special does not move the draws of the others
      const drop = uniform() < dropped;
      if (drop && !fixed.has(values[i] as number)) values[i] = replacement;
    }
  },
});

export const tokenSwap = defineAugmentation({
  name: "token-swap",
  summary: "swaps neighbouring words, never special tokens",
  kind: "tokens",
  options: { share: share.describe("Share of the neighbours that change places"), special, probability: probability(1) },
  apply(values, form, { share: swapped, special: own }, uniform) {
    const fixed = fixedTokens(form, own);
    for (let i = 0; i + 1 < values.length; i++) {
      if (uniform() >= swapped || fixed.has(values[i] as number) || fixed.has(values[i + 1] as number)) continue;
      const kept = values[i] as number;
      values[i] = values[i + 1] as number;
      values[i + 1] = kept;
      i++;
    }
  },
});
