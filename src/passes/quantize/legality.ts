import type { Model } from "../../ir/index.ts";
import { activationRules, biasRules, weightRules } from "./legality/parameters.ts";
import { type QdqGraph, readQdqGraph } from "./legality/qdq-graph.ts";
import { fileRules, floatOnlyRules, opRules, pairRules, rankRules, scaleRules } from "./legality/structure.ts";
import type { LegalityViolation } from "./legality/violation.ts";
import type { QuantizationRow } from "./row.ts";

export { type LegalityRule, type LegalityViolation, legalityRules } from "./legality/violation.ts";

type Rules = (graph: QdqGraph, row: QuantizationRow) => Iterable<LegalityViolation>;

const integerRules: readonly Rules[] = [
  fileRules,
  opRules,
  pairRules,
  activationRules,
  weightRules,
  biasRules,
  scaleRules,
  rankRules,
];

/**
 * Every rule of the target's row that a model of QuantizeLinear and DequantizeLinear nodes breaks; an empty list means that the row has no
 * objection. A float node between integer ones is legal unless the row computes in integers only. Reads the main graph and changes nothing.
 */
export function checkLegality(model: Model, row: QuantizationRow): LegalityViolation[] {
  const graph = readQdqGraph(model, row);
  const floatRules = [fileRules, opRules, floatOnlyRules, ...(row.floatScheme === "int8-weights" ? [weightRules] : [])];
  const rules = row.quantizable === false ? floatRules : integerRules;
  return rules.flatMap((rule) => [...rule(graph, row)]);
}
