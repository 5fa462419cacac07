export * from "./define.ts";
export { float16 } from "./float16/index.ts";
export * from "./manager.ts";
export { type DynamicParams, quantizeDynamic } from "./quantize/dynamic.ts";
export { checkLegality, type LegalityRule, type LegalityViolation, legalityRules } from "./quantize/legality.ts";
export { type Range, type RangeMethod, rangeMethods } from "./quantize/ranges.ts";
export type { IntegerOp, QuantizationRow } from "./quantize/row.ts";
export { quantizeStatic, type StaticParams, valuesToObserve } from "./quantize/static.ts";
export { ActivationStatistics } from "./quantize/statistics.ts";
export {
  InputMoments,
  quantizeWeightsOnly,
  type WeightAlgorithm,
  type WeightOnlyParams,
  type WeightReport,
} from "./quantize/weight-only/index.ts";
export * from "./rewrite.ts";
export { type SimplifyParams, simplify, simplifyRuleNames } from "./simplify/index.ts";
export { upgradeOpset, workingOpset } from "./upgrade-opset/index.ts";
