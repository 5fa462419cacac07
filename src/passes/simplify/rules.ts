import type { Rule } from "../rewrite.ts";
import { eliminateClip, fuseClips } from "./clips.ts";
import { eliminateConcat, fuseConcats } from "./concats.ts";
import { fuseConstantChain } from "./constant-chains.ts";
import { eliminateArithmetic } from "./eliminate-arithmetic.ts";
import { eliminateCast, fuseCasts } from "./eliminate-cast.ts";
import { eliminateDropout } from "./eliminate-dropout.ts";
import { eliminateExpand } from "./eliminate-expand.ts";
import { eliminateIdentity } from "./eliminate-identity.ts";
import { eliminateSpatial } from "./eliminate-spatial.ts";
import { foldScaleAndBias } from "./fold-scale-and-bias.ts";
import { foldScaleAndBiasIntoNext } from "./fold-scale-and-bias-into-next.ts";
import { foldTransposeIntoGemm, fuseMatMulAdd } from "./gemms.ts";
import { inlineIf } from "./inline-if.ts";
import { foldPad } from "./pads.ts";
import { recognizeHardSigmoid, recognizeHardSwish, recognizeMish } from "./recognize-activations.ts";
import { recognizeGelu } from "./recognize-gelu.ts";
import { recognizeGlobalAveragePool } from "./recognize-global-average-pool.ts";
import { recognizeLayerNormalization } from "./recognize-layer-normalization.ts";
import { recognizeSoftmax, softmaxInPlace } from "./recognize-softmax.ts";
import { eliminateSlice, fuseSlices } from "./slices.ts";
import { eliminateTranspose, fuseTransposes, transposeToReshape } from "./transposes.ts";
import { constantReshape, eliminateView, fuseViews, reshapeToFlatten } from "./views.ts";

/** All local rules; where several fit a node, the earlier one goes first. */
export const rules: readonly Rule[] = [
  inlineIf,
  eliminateIdentity,
  eliminateDropout,
  eliminateCast,
  eliminateTranspose,
  eliminateView,
  eliminateSlice,
  eliminateConcat,
  eliminateArithmetic,
  eliminateSpatial,
  eliminateExpand,
  eliminateClip,
  fuseCasts,
  fuseTransposes,
  transposeToReshape,
  fuseViews,
  constantReshape,
  reshapeToFlatten,
  fuseSlices,
  fuseConcats,
  fuseClips,
  recognizeGelu,
  recognizeHardSwish,
  recognizeHardSigmoid,
  recognizeMish,
  recognizeLayerNormalization,
  recognizeSoftmax,
  softmaxInPlace,
  recognizeGlobalAveragePool,
  foldScaleAndBias,
  foldPad,
  fuseMatMulAdd,
  foldTransposeIntoGemm,
  fuseConstantChain,
  foldScaleAndBiasIntoNext,
];
