import { describeNode, type Model, type Node } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { Evaluate, Note, PassDef } from "./define.ts";

export interface PassResult {
  /** Measured by the graph's revision, not promised by the pass. */
  readonly modified: boolean;
  readonly notes: readonly Note[];
}

/** Runs one pass on a model, in place. `params` are checked and completed by the pass's schema. */
export async function runPass<P>(pass: PassDef<P>, model: Model, params: unknown, evaluate: Evaluate): Promise<PassResult> {
  const notes: Note[] = [];
  const before = model.graph.revision;
  await pass.run({
    model,
    params: checkedParams(pass, params),
    evaluate,
    note: (kind, subject: Node | string, message) =>
      notes.push({ pass: pass.name, kind, subject: typeof subject === "string" ? subject : describeNode(subject), message }),
  });
  return { modified: model.graph.revision !== before, notes };
}

function checkedParams<P>(pass: PassDef<P>, params: unknown): P {
  const parsed = pass.params.safeParse(params ?? {});
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new EdgewrightError(
    "PASS_PARAMS",
    `${pass.name} does not take this ${issue?.path.join(".") || "setting"}: ${issue?.message}.`,
    {
      hint: pass.summary,
    },
  );
}
