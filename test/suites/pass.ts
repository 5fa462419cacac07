import { describe, expect, test } from "vitest";
import { encodeOnnx } from "../../src/formats/index.ts";
import { equalModels } from "../../src/ir/equal.ts";
import type { Model } from "../../src/ir/index.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { verify } from "../../src/ir/verify.ts";
import { checkEqual } from "../../src/measure/check-equal.ts";
import type { Note, PassDef } from "../../src/passes/define.ts";
import { runPass } from "../../src/passes/manager.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { seededRandom } from "../../src/util/random.ts";

export interface PassCase {
  readonly name: string;
  /** ONNX text. */
  readonly before: string;
  /** What must come out: ONNX text, or the op types in order ("Conv Relu"); "same" when nothing may change. */
  readonly after: string;
  readonly params?: unknown;
  /** A note that must be there: part of its message. */
  readonly note?: string;
  /** Shapes of the random inputs; default: open extents are chosen. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** No runtime takes the model as it stands: compare structures only, and say why. */
  readonly structureOnly?: string;
}

/**
 * Float32 rounding of a handful of operations on numbers near 1 stays below 1e-6; a wrong fold is off by far more than 1e-5.
 */
const tolerance = 1e-5;

/** A constant of the ONNX text, filled with seeded numbers in ±1 (rounded, so that the text stays short). */
export function constantText(name: string, shape: readonly number[], seed = 1): string {
  const uniform = seededRandom(seed);
  const size = shape.reduce((product, dim) => product * dim, 1);
  const numbers = Array.from({ length: size }, () => (uniform() * 2 - 1).toFixed(3));
  return `float[${shape.join(",")}] ${name} = {${numbers.join(", ")}}`;
}

export const opTypes = (model: Model): string => Array.from(model.graph.nodes, (node) => node.opType).join(" ");

/** A pass whose parameters its own schema checks. */
export type AnyPass = PassDef<unknown>;

/** Runs a pass and checks what every pass owes: a legal graph, in and out. */
export async function applyPass(pass: AnyPass, model: Model, params: unknown = {}): Promise<readonly Note[]> {
  verify(model);
  const { notes } = await runPass(pass, model, params, ortEvaluate);
  verify(model);
  return notes;
}

/** Before and after as text, compared structurally, then numerically in onnxruntime on seeded input. */
export function testPass<P>(pass: PassDef<P>, title: string, cases: readonly PassCase[]): void {
  describe(title, () => {
    test.each(cases)("$name", async ({ before, after, params, note, shapes, structureOnly }) => {
      const original = parseModel(before);
      const model = original.clone();
      const notes = await applyPass(pass as unknown as AnyPass, model, params);
      if (after === "same") expect(opTypes(model)).toBe(opTypes(original));
      else if (after.includes("{")) expect(equalModels(model, parseModel(after))).toBe(true);
      else expect(opTypes(model)).toBe(after);
      if (note) expect(notes.map(({ message }) => message).join("\n")).toContain(note);
      if (structureOnly) return;
      const report = await checkEqual(encodeOnnx(original), encodeOnnx(model), { tolerance, ...(shapes ? { shapes } : {}) });
      expect(report.maxRelative).toBeLessThanOrEqual(tolerance);
      expect(report.runs).toBeGreaterThan(0);
    });
  });
}
