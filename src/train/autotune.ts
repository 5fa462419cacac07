import { encodeOnnx } from "../formats/onnx/index.ts";
import { Graph, Model, tensorOf } from "../ir/index.ts";
import { type Chooser, GraphBuilder } from "../ops/builder.ts";
import { type ConvGeometry, type Formulation, geometryOf } from "../ops/gradients/conv.ts";
import { inputFormulations, inputRole } from "../ops/gradients/conv-input.ts";
import { weightFormulations, weightRole } from "../ops/gradients/conv-weight.ts";
import type { Executor, SessionOptions } from "../runtime/executor.ts";

/** Remembers choices between runs: text keys and values. */
export interface TuningCache {
  get(key: string): string | undefined;
  set(key: string, choice: string): void;
}

export interface TuneOptions {
  readonly executor: Executor;
  /** As the training session is to be loaded. */
  readonly session: SessionOptions;
  readonly cache?: TuningCache | undefined;
  /** Runs of each candidate after one that warms up; the fastest counts. Default 5. */
  readonly repeats?: number | undefined;
  readonly clock?: (() => number) | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

interface Role {
  readonly formulations: readonly Formulation[];
  readonly operand: (g: ConvGeometry) => readonly number[];
}
const roles: Readonly<Record<string, Role>> = {
  [weightRole]: { formulations: weightFormulations, operand: (g) => g.x },
  [inputRole]: { formulations: inputFormulations, operand: (g) => g.w },
};

interface Question {
  readonly role: string;
  readonly key: string;
  readonly candidates: readonly string[];
}

/** A model that computes one formulation of one gradient and gives a single number of it, so that no output is copied. */
function candidateModel(
  { role, key }: Question,
  name: string,
): { model: Model; inputs: Readonly<Record<string, readonly number[]>> } {
  const g = geometryOf(key);
  const { formulations, operand } = roles[role] as Role;
  const graph = new Graph("candidate");
  const b = new GraphBuilder(graph);
  const inputs = { operand: operand(g), dy: g.y };
  const [value, dy] = Object.entries(inputs).map(([input, shape]) => graph.addInput(input, { dtype: "float32", shape }));
  const formulation = formulations.find((one) => one.name === name) as Formulation;
  if (value && dy) graph.addOutput(b.op("ReduceMax", [formulation.build(b, g, value, dy)], { keepdims: 0 }));
  return { model: new Model({ graph }), inputs };
}

/** Fastest of the repeats, in the clock's unit. */
async function time(question: Question, name: string, options: TuneOptions): Promise<number> {
  const { model, inputs } = candidateModel(question, name);
  const clock = options.clock ?? (() => performance.now());
  const session = await options.executor.load(encodeOnnx(model), options.session);
  try {
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([input, shape]) => {
        const size = shape.reduce((a, d) => a * d, 1);
        return [
          input,
          tensorOf(
            "float32",
            shape,
            Float32Array.from({ length: size }, (_, i) => ((i * 7919) % 201) / 100 - 1),
          ),
        ];
      }),
    );
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i <= (options.repeats ?? 5); i++) {
      const start = clock();
      await session.run(feeds);
      if (i > 0) best = Math.min(best, clock() - start);
    }
    return best;
  } finally {
    await session.release();
  }
}

async function fastest(question: Question, options: TuneOptions): Promise<string> {
  let best = { name: question.candidates[0] as string, time: Number.POSITIVE_INFINITY };
  for (const name of question.candidates) {
    const taken = await time(question, name, options);
    if (taken < best.time) best = { name, time: taken };
  }
  return best.name;
}

/** What decides a choice beside the shape. */
const context = ({ executor, session }: TuneOptions): string =>
  `${executor.name} ${executor.version} ${session.threads ?? 1} threads`;

/**
 * Measures which formulation of each gradient is fastest on this machine. `build` builds the graph with a chooser and is called once, to
 * learn which shapes there are; build it again with the chooser that comes back. Each shape costs some tens of milliseconds, once: choices
 * are kept in the cache.
 */
export async function autoTune(build: (choose: Chooser) => unknown, options: TuneOptions): Promise<Chooser> {
  const questions = new Map<string, Question>();
  build((role, key, candidates) => {
    if (roles[role] && candidates.length > 1) questions.set(`${role} ${key}`, { role, key, candidates });
    return undefined;
  });
  const choices = new Map<string, string>();
  let done = 0;
  for (const [id, question] of questions) {
    const cacheKey = `${context(options)} ${id}`;
    const known = options.cache?.get(cacheKey);
    const choice = known && question.candidates.includes(known) ? known : await fastest(question, options);
    if (choice !== known) options.cache?.set(cacheKey, choice);
    choices.set(id, choice);
    options.onProgress?.(++done, questions.size);
  }
  return (role, key) => choices.get(`${role} ${key}`);
}
