import { allNodes, describeNode, type Model } from "../ir/index.ts";
import type { Note } from "../passes/define.ts";
import { type Emitted, type Float16Params, float16, type HalfPlan } from "../passes/float16/index.ts";
import { runPass } from "../passes/manager.ts";
import { nodeKey } from "../passes/quantize/plan.ts";
import { ortEvaluate } from "../runtime/evaluate.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import type { Comparison } from "./half-compare.ts";

export interface Converted {
  readonly model: Model;
  readonly notes: readonly Note[];
  readonly plan: HalfPlan;
  readonly emitted: Emitted;
}

export type ConvertParams = Partial<Float16Params>;

export async function convert(float: Model, params: ConvertParams): Promise<Converted> {
  const model = float.clone();
  let outcome: [HalfPlan, Emitted] | undefined;
  const { notes } = await runPass(
    float16,
    model,
    { ...params, onPlan: (plan: HalfPlan, emitted: Emitted) => (outcome = [plan, emitted]) },
    ortEvaluate,
  );
  const [plan, emitted] = outcome as [HalfPlan, Emitted];
  return { model, notes, plan, emitted };
}

export interface RefineOptions extends RunOptions {
  /** Runs a converted model; throws an EdgewrightError where the runtime fails on it. */
  readonly compare: (model: Model) => Promise<Comparison>;
  /** Largest relative error of an output. */
  readonly bound: number;
  /** Nodes that may be taken out one by one. */
  readonly maxRounds?: number | undefined;
}

export interface Refined extends Converted {
  readonly comparison: Comparison;
  /** Nodes that measuring took out of 16 bits, in this order. */
  readonly removed: readonly string[];
  readonly tests: number;
}

interface Verdict {
  readonly comparison: Comparison | undefined;
  /** Why it will not do. */
  readonly failure: string | undefined;
}

/**
 * Converts, compares, and takes the node that breaks the result back to float32, until the result holds. The node is found by bisection
 * over how many nodes, in execution order, are converted: none of them gives the float model, all of them fails, so that there is one
 * whose conversion makes the difference. It first computes in float32 on 16-bit weights, then keeps its weights too. After `maxRounds`
 * nodes, conversion ends before the first node that fails.
 */
export async function refine(float: Model, params: ConvertParams, options: RefineOptions): Promise<Refined> {
  return new Refiner(float, params, options).run();
}

class Refiner {
  readonly #float: Model;
  readonly #params: ConvertParams;
  readonly #options: RefineOptions;
  readonly #floatNodes: Map<string, string>;
  readonly #excluded: Set<string>;
  readonly #removed: string[] = [];
  #tests = 0;

  constructor(float: Model, params: ConvertParams, options: RefineOptions) {
    this.#float = float;
    this.#params = params;
    this.#options = options;
    this.#floatNodes = new Map(params.floatNodes);
    this.#excluded = new Set(params.exclude);
  }

  async run(): Promise<Refined> {
    const { maxRounds = 8 } = this.#options;
    for (let round = 0; ; round++) {
      const converted = await this.#convert([]);
      const items = itemsOf(converted);
      const { comparison, failure } = await this.#judge(converted);
      if (comparison && failure === undefined) return { ...converted, comparison, removed: this.#removed, tests: this.#tests };
      if (items.length === 0) throw refused("the model", failure);
      const { index, why, last } = await this.#firstFailing(items, failure as string);
      const item = items[index] as Item;
      if (round < maxRounds) this.#remove(item, why);
      else if (index > 0 && last) return { ...last, removed: [...this.#removed, `from ${item.title} on`], tests: this.#tests };
      else throw refused(item.title, why);
    }
  }

  /** Bisection; `last` is the longest beginning that was seen to hold. */
  async #firstFailing(items: readonly Item[], failure: string): Promise<{ index: number; why: string; last?: Refined }> {
    let [holds, fails] = [0, items.length];
    let why = failure;
    let last: Refined | undefined;
    while (fails - holds > 1) {
      const middle = (holds + fails) >> 1;
      const converted = await this.#convert(items.slice(middle).map(({ key }) => key));
      const verdict = await this.#judge(converted);
      if (verdict.failure === undefined && verdict.comparison) {
        holds = middle;
        last = { ...converted, comparison: verdict.comparison, removed: [], tests: 0 };
      } else {
        fails = middle;
        why = verdict.failure as string;
      }
    }
    return { index: holds, why, ...(last ? { last } : {}) };
  }

  #remove({ key, title, computesHalf }: Item, why: string): void {
    this.#removed.push(computesHalf ? title : `weights of ${title}`);
    this.#floatNodes.set(key, `measured: ${why}`);
    if (!computesHalf) this.#excluded.add(key);
  }

  #convert(without: readonly string[]): Promise<Converted> {
    return convert(this.#float, {
      ...this.#params,
      floatNodes: this.#floatNodes,
      exclude: [...this.#excluded, ...without],
    });
  }

  async #judge({ model }: Converted): Promise<Verdict> {
    const { compare, bound, signal, onProgress } = this.#options;
    signal?.throwIfAborted();
    this.#tests++;
    onProgress?.({ step: "compare with the float model", done: this.#tests, total: undefined });
    try {
      const comparison = await compare(model);
      return { comparison, failure: problemOf(comparison, bound) };
    } catch (error) {
      if (!(error instanceof EdgewrightError)) throw error;
      return { comparison: undefined, failure: error.code === "JOB_DIED" ? "the runtime crashes" : sentence(error.message) };
    }
  }
}

/** Without the path of a temporary file. */
const sentence = (message: string): string => message.replace(/\S*half\.onnx/g, "the converted model").replace(/\.$/, "");

function problemOf({ notFinite, relativeError }: Comparison, bound: number): string | undefined {
  if (notFinite !== undefined) return `output "${notFinite}" becomes NaN or infinite`;
  if (relativeError <= bound) return undefined;
  return `the outputs' relative error becomes ${relativeError.toPrecision(3)}, above ${bound}`;
}

interface Item {
  readonly key: string;
  readonly title: string;
  readonly computesHalf: boolean;
}

/** Nodes on which converting had an effect, in execution order. */
function itemsOf({ model, plan, emitted }: Converted): Item[] {
  const touched = [...allNodes(model.graph)].filter((node) => plan.half.has(node) || emitted.widened.has(node));
  return touched.map((node) => ({ key: nodeKey(node), title: describeNode(node), computesHalf: plan.half.has(node) }));
}

const refused = (subject: string, why: string | undefined): EdgewrightError =>
  new EdgewrightError("HALF_FAILS", `${subject} cannot be converted: ${why ?? "nothing holds"}, so nothing was written.`, {
    hint: "Leave the node in float with --exclude, or convert --weights-only.",
  });
