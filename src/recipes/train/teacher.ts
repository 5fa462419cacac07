import { encodeOnnx } from "../../formats/index.ts";
import type { Model, Tensor, Value } from "../../ir/index.ts";
import { inferShapes } from "../../ops/infer.ts";
import type { LoadedProgram, StatefulRuntime } from "../../runtime/stateful.ts";
import { type FeatureMatch, teacherFeature } from "../../train/feature-matching.ts";
import { logitsOf } from "../../train/losses.ts";
import { EdgewrightError } from "../../util/errors.ts";

export interface TeacherOptions {
  readonly model: Model;
  /** Name for messages. */
  readonly path: string;
  /** A runtime of its own, so that the teacher works on the next batch while the student trains on this one. */
  readonly runtime: StatefulRuntime;
  readonly batch: number;
  readonly threads: number;
  /** Which output holds the class scores; default: the first. Its softmax is undone. */
  readonly output?: string | undefined;
  readonly features?: readonly FeatureMatch[] | undefined;
  /** The student's inputs by name, to be fed to the teacher: by equal name, or by position. */
  readonly inputs: readonly string[];
}

/** A trained model that says what the student should say. */
export interface Teacher {
  /** Static shape of each matched feature, by teacher value name. */
  readonly featureShapes: Readonly<Record<string, readonly number[]>>;
  /** Batch tensors "teacher" (logits) and "teacher:<value>" for a batch of student feeds. */
  teach(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
  close(): Promise<void>;
}

/** Name of the batch tensor that carries the teacher's logits. */
export const teacherLogits = "teacher";

/** Loads a teacher for batches of fixed size. Throws DISTILL_TEACHER where it cannot take the student's batches. */
export async function openTeacher(options: TeacherOptions): Promise<Teacher> {
  const model = options.model.clone();
  const { graph } = model;
  const feeds = graph.inputs.filter((input) => !input.constant);
  const from = matchInputs(options, feeds);
  const logits = logitsOf(outputNamed(options, graph.outputs), model.opsets);
  const values = new Map((options.features ?? []).map(({ teacher }) => [teacher, valueNamed(options, teacher)]));
  const inputShapes = Object.fromEntries(feeds.map((input) => [input.name, batchShape(options, input)]));
  inferShapes(model, { inputShapes });
  graph.outputs.length = 0;
  for (const value of new Set([logits, ...[...values.keys()].map((name) => byName(model, name) as Value)]))
    graph.addOutput(value);
  const program = await options.runtime.load(
    { bytes: encodeOnnx(model), stateInputs: {}, stateOutputs: {} },
    { threads: options.threads, config: { "session.intra_op.allow_spinning": "0" } },
  );
  return {
    featureShapes: Object.fromEntries(
      [...values.keys()].map((name) => [name, staticShape(options, byName(model, name) as Value)]),
    ),
    teach: (student) => teach(program, student, { from, logits: logits.name, features: [...values.keys()] }),
    close: () => options.runtime.close(),
  };

  function valueNamed({ path }: TeacherOptions, name: string): Value {
    const value = byName(model, name);
    if (value) return value;
    throw new EdgewrightError("DISTILL_FEATURE", `The teacher "${path}" has no value "${name}".`, {
      subject: path,
      hint: "edgewright inspect lists nodes and their outputs.",
    });
  }
}

const byName = ({ graph }: Model, name: string): Value | undefined => {
  for (const node of graph.nodes) for (const output of node.outputs) if (output.name === name) return output;
  return undefined;
};

function outputNamed({ output, path }: TeacherOptions, outputs: readonly Value[]): Value {
  const found = output === undefined ? outputs[0] : outputs.find(({ name }) => name === output);
  if (found) return found;
  throw new EdgewrightError("DISTILL_TEACHER", `The teacher "${path}" has no output "${output}".`, {
    subject: path,
    hint: `Its outputs are: ${outputs.map(({ name }) => name).join(", ")}.`,
  });
}

/** Teacher input name → student input name. */
function matchInputs({ inputs, path }: TeacherOptions, feeds: readonly Value[]): ReadonlyMap<string, string> {
  if (feeds.length !== inputs.length)
    throw new EdgewrightError(
      "DISTILL_TEACHER",
      `The teacher "${path}" takes ${feeds.length} inputs but the student takes ${inputs.length}.`,
      { subject: path, hint: "Teacher and student must take the same inputs." },
    );
  return new Map(feeds.map(({ name }, i) => [name, inputs.includes(name) ? name : (inputs[i] as string)]));
}

const batchShape = ({ batch }: TeacherOptions, input: Value): number[] =>
  (input.type?.shape ?? []).map((dim, i) => (i === 0 ? batch : typeof dim === "number" ? dim : 1));

function staticShape({ path }: TeacherOptions, value: Value): readonly number[] {
  const shape = value.type?.shape;
  if (shape?.every((dim) => typeof dim === "number")) return shape as readonly number[];
  throw new EdgewrightError(
    "DISTILL_FEATURE",
    `The shape of "${value.name}" of the teacher "${path}" is not known before running.`,
    {
      subject: path,
      hint: "Match another value, or simplify the teacher first.",
    },
  );
}

async function teach(
  program: LoadedProgram,
  student: Readonly<Record<string, Tensor>>,
  names: { readonly from: ReadonlyMap<string, string>; readonly logits: string; readonly features: readonly string[] },
): Promise<Record<string, Tensor>> {
  const feeds = Object.fromEntries([...names.from].map(([input, source]) => [input, student[source] as Tensor]));
  const outputs = await program.run(feeds);
  return {
    [teacherLogits]: outputs[names.logits] as Tensor,
    ...Object.fromEntries(names.features.map((name) => [teacherFeature(name), outputs[name] as Tensor])),
  };
}
