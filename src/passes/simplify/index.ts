import { z } from "zod";
import { allGraphs, type Dim, type Graph } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import { EdgewrightError, fail } from "../../util/errors.ts";
import { definePass, type PassContext } from "../define.ts";
import { applyRules, type Rule, type RuleContext } from "../rewrite.ts";
import { upgradeOpset, workingOpset } from "../upgrade-opset/index.ts";
import { mergeEqualNodes } from "./common-subexpressions.ts";
import { removeDeadCode } from "./dead-code.ts";
import { mergeEqualInitializers } from "./duplicate-initializers.ts";
import { foldConstants } from "./fold-constants.ts";
import { plainInitializers } from "./initializer-inputs.ts";
import { rules } from "./rules.ts";
import { foldShapeArithmetic } from "./shape-arithmetic.ts";

const dim = z.union([z.number().int().nonnegative(), z.string()]);

export const simplifyParams = z.object({
  inputShapes: z.record(z.string(), z.array(dim)).default({}).describe("Shapes of graph inputs to fix, by name"),
  skip: z.array(z.string()).default([]).describe("Rules that are not applied, by name"),
  foldLimitBytes: z
    .number()
    .int()
    .nonnegative()
    .default(1 << 18)
    .describe("Results of constant folding above this are kept only where they do not grow the file"),
  fixOverridable: z
    .boolean()
    .default(false)
    .describe("Also make constants of initializers that a caller may override (IR version 4 and later)"),
  upgrade: z.boolean().default(true).describe("Bring the standard operators to the working operator set first"),
  explain: z.boolean().default(false).describe("Note why rules that nearly fired did not"),
});
export type SimplifyParams = z.infer<typeof simplifyParams>;

/** Steps that see the whole graph, beside the local rules of `rules.ts`. */
const steps = [
  "fold-constants",
  "fold-shape-arithmetic",
  "merge-equal-nodes",
  "merge-equal-initializers",
  "remove-dead-code",
] as const;

/** Every name that `skip` understands. */
export const simplifyRuleNames: readonly string[] = [...steps, ...rules.map((rule) => rule.name)];

/** A round is: shapes, constants, rules, equal nodes, dead code. Each one that changes something enables the next. */
const maxRounds = 20;

async function run(context: PassContext<SimplifyParams>): Promise<void> {
  const { model, params, note } = context;
  const unknown = params.skip.find((name) => !simplifyRuleNames.includes(name));
  if (unknown) fail("SIMPLIFY_RULE", `There is no rule "${unknown}".`, { hint: `Rules: ${simplifyRuleNames.join(", ")}.` });
  prepare(context);
  ownOutputs(model.graph);
  if (params.upgrade) await upgrade(context);
  const active = rules.filter((rule) => !params.skip.includes(rule.name));
  let declined = new Map<string, { rule: string; subject: string; reason: string }>();
  for (let round = 0; round < maxRounds; round++) {
    const before = model.graph.revision;
    declined = new Map();
    const report = inferShapes(model, { inputShapes: params.inputShapes as Record<string, Dim[]>, invalid: "warn" });
    await simplifyOnce(context, active, (value) => report.info.get(value), declined);
    if (model.graph.revision === before) break;
  }
  for (const { rule, subject, reason } of declined.values()) note("skipped", subject, `${rule}: ${reason}`);
}

/** An inner graph may hand out a value of a graph around it; an Identity makes every output a value of its own graph, so that edits see it. */
function ownOutputs(root: Graph): void {
  for (const graph of allGraphs(root)) {
    graph.outputs.forEach((output, i) => {
      if (output.graph === graph) return;
      const identity = graph.node("Identity", [output]);
      identity.output.type = output.type;
      graph.outputs[i] = identity.output;
      graph.changed();
    });
  }
}

/** Rules and op records speak the working opset. A model that cannot get there is simplified as far as they fit it. */
async function upgrade(context: PassContext<SimplifyParams>): Promise<void> {
  try {
    await upgradeOpset.run({
      ...context,
      params: { target: workingOpset },
      note: (kind, subject, message) => context.note(kind, subject, `upgrade-opset: ${message}`),
    });
  } catch (error) {
    if (!(error instanceof EdgewrightError) || error.code !== "UPGRADE_STOPPED") throw error;
    context.note("warning", "", error.message);
  }
}

function prepare({ model, params, note }: PassContext<SimplifyParams>): void {
  const { changed, overridable } = plainInitializers(model, params.fixOverridable);
  if (changed.length > 0)
    note("did", "", `plain-initializers: ${changed.length} initializers were listed as inputs and are constants now`);
  if (overridable.length > 0)
    note(
      "warning",
      "",
      `${overridable.length} initializers are inputs that a caller may override (${overridable.slice(0, 3).join(", ")}); they are not folded`,
    );
}

async function simplifyOnce(
  { model, params, evaluate, note }: PassContext<SimplifyParams>,
  active: readonly Rule[],
  info: RuleContext["info"],
  declined: Map<string, { rule: string; subject: string; reason: string }>,
): Promise<void> {
  const on = (step: (typeof steps)[number]) => !params.skip.includes(step);
  const did = (rule: string, names: readonly string[]) => {
    for (const name of names) note("did", name, rule);
  };
  const remember = (rule: string, subject: string, reason: string) => {
    if (params.explain) declined.set(`${rule}\n${subject}`, { rule, subject, reason });
  };
  if (on("fold-shape-arithmetic")) did("fold-shape-arithmetic", foldShapeArithmetic(model, info));
  if (on("fold-constants")) {
    const options = { evaluate, limitBytes: params.foldLimitBytes };
    const folded = await foldConstants(model, {
      ...options,
      declined: (node, reason) => remember("fold-constants", node.name, reason),
    });
    did("fold-constants", folded);
  }
  applyRules(
    active,
    { model, info },
    {
      fired: (rule, subject) => note("did", subject, rule.name),
      ...(params.explain ? { declined: (rule, node, reason) => remember(rule.name, node.name || node.output.name, reason) } : {}),
    },
  );
  if (on("merge-equal-initializers")) did("merge-equal-initializers", mergeEqualInitializers(model.graph));
  if (on("merge-equal-nodes")) did("merge-equal-nodes", mergeEqualNodes(model));
  if (on("remove-dead-code")) {
    const { nodes, initializers } = removeDeadCode(model.graph);
    if (nodes > 0) note("did", "", `remove-dead-code: ${nodes} nodes`);
    if (initializers > 0) note("did", "", `remove-dead-code: ${initializers} initializers`);
  }
}

/** Folds, fuses and removes to a fixpoint. Outputs stay equal up to float rounding. Rules and their algebra: one file each beside this one. */
export const simplify = definePass<SimplifyParams>({
  name: "simplify",
  summary: "Fold constants and normalization, remove what does nothing, recognize fused ops",
  params: simplifyParams as z.ZodType<SimplifyParams>,
  run,
});
