import type { Model } from "../../../ir/index.ts";
import { toFloat32 } from "../../../ir/index.ts";
import { inferShapes } from "../../../ops/infer.ts";
import { EdgewrightError } from "../../../util/errors.ts";
import { definePass, type PassContext } from "../../define.ts";
import { removeUnusedInitializers } from "../emit.ts";
import { nodeKey } from "../plan.ts";
import { storedBytes } from "./blocks.ts";
import { emitBlocks, microsoft } from "./emit-blocks.ts";
import { convolutionLayout, emitConvolution, emitDequantize, swapInner } from "./emit-dequantize.ts";
import { type WeightOnlyParams, weightOnlyParams } from "./params.ts";
import { type ConvolutionWeight, planWeights, type WeightPlan } from "./plan.ts";
import { type Solved, solve } from "./solve.ts";
import { bytesOf, type SolvedUnit, scaleType, solveUnits, spendBits, weightRow } from "./units.ts";

export { InputMoments } from "./moments.ts";
export type { MeasureMoments, WeightOnlyParams, WeightReport } from "./params.ts";
export { type WeightAlgorithm, weightAlgorithms } from "./solve.ts";

/**
 * Weights of matrix products, embedding tables and, on demand, convolutions stored in blocks of 4 or 8 bits; activations stay float.
 * Codes come from RTN, HQQ, GPTQ or AWQ, whichever changes the products least on the calibration rows (`moments`).
 */
export const quantizeWeightsOnly = definePass<WeightOnlyParams>({
  name: "quantize/weight-only",
  summary: "4- or 8-bit weights in blocks, activations in float",
  params: weightOnlyParams,
  async run(context) {
    const { model, params, note } = context;
    inferShapes(model);
    const row = weightRow(params);
    if (model.opset < 21 && (row.products === "dequantize" || params.convolutions))
      throw new EdgewrightError("OPSET_TOO_OLD", `Blocks of weights need operator set 21, the model has ${model.opset}.`, {
        hint: "Simplify the model first, which upgrades it.",
      });
    const plan = planWeights(model, { ...params, row, exclude: new Set(params.exclude) });
    for (const { node, reason } of plan.skipped) note("skipped", node, reason);
    const solved = await solveUnits(model, plan.units, params);
    spendBits(solved, params);
    for (const one of solved) finishUnit(one, context);
    finishConvolutions(plan, context);
    if (row.products === "nbits" && solved.length > 0) declareContrib(model);
    removeUnusedInitializers(model.graph);
  },
});

function declareContrib(model: Model): void {
  if (!model.opsets.has(microsoft)) model.opsets.set(microsoft, 1);
}

const percent = (share: number): string => `${(100 * share).toPrecision(2)} %`;

const describe = ({ stored, algorithm, error, remark }: Solved): string =>
  `${stored.bits} bits in blocks of ${stored.block} by ${algorithm}, error ${percent(error)}${remark ? `; ${remark}` : ""}`;

function finishUnit(one: SolvedUnit, { params, note }: PassContext<WeightOnlyParams>): void {
  const { unit, solved } = one;
  const { stored } = solved;
  const row = weightRow(params);
  for (const { node } of unit.uses) note("did", node, describe(solved));
  params.onWeight?.({
    name: unit.value.name,
    nodes: unit.uses.map(({ node }) => nodeKey(node)),
    kind: unit.uses.some(({ kind }) => kind === "product") ? "product" : "table",
    shape: unit.tensor.shape,
    algorithm: solved.algorithm,
    bits: stored.bits,
    block: stored.block,
    error: solved.error,
    bytesBefore: unit.tensor.byteLength,
    bytesAfter: bytesOf(one, params),
  });
  if (row.products === "nbits") emitBlocks(unit, stored, row.accuracyLevel);
  else emitDequantize(unit, stored);
}

function finishConvolutions({ convolutions }: WeightPlan, { params, note }: PassContext<WeightOnlyParams>): void {
  for (const weight of convolutions) {
    const { solved, layout } = solveConvolution(weight, params);
    const { stored } = solved;
    note("did", weight.node, describe(solved));
    params.onWeight?.({
      name: weight.value.name,
      nodes: [nodeKey(weight.node)],
      kind: "convolution",
      shape: weight.tensor.shape,
      algorithm: solved.algorithm,
      bits: stored.bits,
      block: stored.block,
      error: solved.error,
      bytesBefore: weight.tensor.byteLength,
      bytesAfter: storedBytes(stored.rows, stored.columns, stored, false),
    });
    emitConvolution(weight, stored, layout);
  }
}

/** No moments are taken of a convolution's input: weights are rounded for the least error of their own. */
function solveConvolution(weight: ConvolutionWeight, params: WeightOnlyParams) {
  const layout = convolutionLayout(weight, params.bits, params.block);
  const { rows, columns, block, positions } = layout;
  const values = swapInner(toFloat32(weight.tensor), columns, positions);
  const format = {
    bits: params.bits,
    block,
    asymmetric: params.asymmetric,
    scales: scaleType(values, params.scales ?? weightRow(params).scales),
  };
  const algorithm = params.algorithm === "rtn" ? "rtn" : "hqq";
  return {
    layout,
    solved: solve({ rows, columns, values }, undefined, { format, algorithm, damping: params.damping, multiplications: 1 }),
  };
}
