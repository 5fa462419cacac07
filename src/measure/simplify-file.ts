import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import { z } from "zod";
import { encodeOnnx, wantsExternalData } from "../formats/index.ts";
import { allNodes, type Model } from "../ir/index.ts";
import type { Note } from "../passes/define.ts";
import { runPass } from "../passes/manager.ts";
import { type SimplifyParams, simplify } from "../passes/simplify/index.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import { fileBytes, loadModel, saveModel } from "../runtime/model-file.ts";
import { fail } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { type CheckOptions, checkEqual, type EqualityReport, equalityReportSchema } from "./check-equal.ts";

const side = z.object({ path: z.string(), bytes: z.number(), nodes: z.number(), opset: z.number() });

export const simplifyReportSchema = z.object({
  before: side,
  after: side.extend({ digest: z.string(), files: z.array(z.string()) }),
  /** How often each rule did something. */
  rules: z.record(z.string(), z.number()),
  warnings: z.array(z.string()),
  /** With `explain`: what nearly happened. */
  skipped: z.array(z.object({ subject: z.string(), rule: z.string(), reason: z.string() })),
  /** Time of the simplification itself, without reading, writing and comparing. */
  milliseconds: z.number(),
  /** Comparison of the outputs; null when it was left out. */
  check: equalityReportSchema.nullable(),
});
export type SimplifyReport = z.infer<typeof simplifyReportSchema>;

export interface SimplifyFileOptions extends RunOptions {
  readonly params?: Partial<SimplifyParams>;
  /** How to compare outputs; false leaves it out. */
  readonly check?: CheckOptions | false;
}

const countNodes = (model: Model): number => [...allNodes(model.graph)].length;

/**
 * Simplifies a model file into another one, and compares the outputs of both in onnxruntime. Nothing is left in place of `output`
 * when they differ by more than the tolerance (error SIMPLIFY_DIFFERS).
 */
export async function simplifyFile(input: string, output: string, options: SimplifyFileOptions = {}): Promise<SimplifyReport> {
  const { signal, onProgress, params = {} } = options;
  const model = await loadModel(input, { signal });
  const before = { path: input, bytes: await fileBytes(input), nodes: countNodes(model), opset: model.opset };
  const start = performance.now();
  onProgress?.({ step: "simplify", done: 0 });
  const { notes } = await runPass(simplify, model, params, ortEvaluate);
  const milliseconds = performance.now() - start;
  const check = { signal, onProgress, ...(options.check || {}) };
  const inMemory = !wantsExternalData(model);
  if (!inMemory && resolve(input) === resolve(output))
    fail("SIMPLIFY_IN_PLACE", `"${output}" is too large to be compared in memory and replaced.`, {
      hint: "Write to another file.",
    });
  const early = options.check === false || !inMemory ? null : requireEqual(await checkEqual(input, encodeOnnx(model), check));
  const saved = await saveModel(model, output, { signal });
  const late = options.check === false || inMemory ? null : await checkSaved(input, output, saved.files, check);
  return {
    before,
    after: { path: output, ...saved, files: [...saved.files], nodes: countNodes(model), opset: model.opset },
    ...summarize(notes),
    milliseconds,
    check: early ?? late,
  };
}

/** A model too large for memory is compared as a file, which goes when the comparison fails. */
async function checkSaved(input: string, output: string, files: readonly string[], check: CheckOptions): Promise<EqualityReport> {
  try {
    return requireEqual(await checkEqual(input, output, check));
  } catch (error) {
    for (const file of files) await rm(file, { force: true });
    throw error;
  }
}

function requireEqual(report: EqualityReport): EqualityReport {
  if (report.equal) return report;
  const worst = report.outputs.reduce((a, b) => (b.maxRelative > a.maxRelative ? b : a));
  fail(
    "SIMPLIFY_DIFFERS",
    `Output "${worst.name}" of the simplified model differs by ${worst.maxRelative.toExponential(2)} of its largest magnitude; at most ${report.tolerance} is allowed.`,
    { subject: worst.name, hint: "Leave rules out with --skip to find the one that does it, or raise --tolerance." },
  );
}

function summarize(notes: readonly Note[]): Pick<SimplifyReport, "rules" | "warnings" | "skipped"> {
  const rules: Record<string, number> = {};
  const split = (message: string): [string, string] => {
    const colon = message.indexOf(": ");
    return colon < 0 ? [message, ""] : [message.slice(0, colon), message.slice(colon + 2)];
  };
  for (const { kind, message } of notes) {
    const [rule, rest] = split(message);
    if (kind === "did") rules[rule] = (rules[rule] ?? 0) + (Number.parseInt(rest, 10) || 1);
  }
  return {
    rules,
    warnings: notes.filter((note) => note.kind === "warning").map((note) => note.message),
    skipped: notes
      .filter((note) => note.kind === "skipped")
      .map(({ subject, message }) => ({ subject, rule: split(message)[0], reason: split(message)[1] })),
  };
}
