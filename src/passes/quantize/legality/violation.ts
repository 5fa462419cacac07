/** What a target may refuse. docs/targets.md says what each rule asks. */
export const legalityRules = [
  "opset",
  "static-shape",
  "rank",
  "unsupported-op",
  "float-op",
  "float-only",
  "constant-parameters",
  "pair",
  "activation-dtype",
  "activation-granularity",
  "activation-zero-point",
  "weight-dtype",
  "weight-granularity",
  "weight-zero-point",
  "weight-range",
  "power-of-two",
  "bias-dtype",
  "bias-scale",
  "tied-scales",
  "fixed-output",
] as const;
export type LegalityRule = (typeof legalityRules)[number];

/** One rule that a model breaks on a target. */
export interface LegalityViolation {
  readonly rule: LegalityRule;
  /** As in reports and `exclude` lists; null where the model as a whole is meant. */
  readonly node: string | null;
  /** The tensor in question, null where it is none. */
  readonly value: string | null;
  /** One sentence: what is wrong, and what to do. */
  readonly message: string;
}
