import { z } from "zod";
import { tensorOf, type Value } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { seededNormal, seededRandom } from "../util/random.ts";
import type { TrainingGraph } from "./training-graph.ts";

export const featureMatchSchema = z.strictObject({
  student: z.string().describe("Name of a value of the student"),
  teacher: z.string().describe("Name of a value of the teacher"),
  weight: z.number().positive().default(1).describe("Factor in the sum of all losses; an input of the step graph"),
});
export type FeatureMatch = z.infer<typeof featureMatchSchema>;

/** Data input that carries the teacher's value. */
export const teacherFeature = (name: string): string => `teacher:${name}`;

/**
 * Mean squared distance between a student's value, carried to the teacher's width by a learned linear projection, and the teacher's
 * value (Romero et al., "FitNets", 2015). The projection is trained with the student and left behind on export. Channels are axis 1 of
 * feature maps [N, C, …] of rank 3 and more with equal positions, else the last axis; teacher maps of another size are pooled to the
 * student's.
 *
 * @param teacherShape static, batch included.
 */
export function buildFeatureMatch(
  training: TrainingGraph,
  match: FeatureMatch,
  teacherShape: readonly number[],
): { readonly name: string; readonly value: Value } {
  const { b } = training;
  const student = training.valueNamed(match.student);
  const shape = b.shape(student);
  const teacher = training.dataInput(teacherFeature(match.teacher), "float32", teacherShape);
  if (shape.length !== teacherShape.length)
    throw new EdgewrightError(
      "DISTILL_FEATURE",
      `"${match.student}" of the student has shape [${shape}] but "${match.teacher}" of the teacher has [${teacherShape}].`,
      { subject: match.student, hint: "Match values of equal rank: feature maps with feature maps, vectors with vectors." },
    );
  const spatial = shape.length === 4;
  const projected = spatial
    ? projectMaps(training, match, student, teacherShape)
    : projectVectors(training, match, student, teacherShape);
  const fitted = spatial ? pooledTo(training, match, teacher, b.shape(projected)) : teacher;
  const distance = b.reduceMean(b.square(b.sub(projected, fitted)), undefined, false);
  const weight = training.hyperparameter(`weight:features:${match.student}`, match.weight);
  return { name: `features:${match.student}`, value: b.mul(distance, weight) };
}

/** LeCun-normal start: the projection keeps the scale of what it carries over. */
function projection(training: TrainingGraph, { student }: FeatureMatch, shape: readonly number[], fanIn: number): Value {
  const normal = seededNormal(seededRandom(fanIn + shape.length));
  const size = shape.reduce((a, dim) => a * dim, 1);
  const values = Float32Array.from({ length: size }, () => normal() / Math.sqrt(fanIn));
  return training.parameter(`projection:${student}`, tensorOf("float32", shape, values));
}

function projectMaps(training: TrainingGraph, match: FeatureMatch, student: Value, teacherShape: readonly number[]): Value {
  const from = training.b.shape(student)[1] as number;
  const to = teacherShape[1] as number;
  return training.b.op("Conv", [student, projection(training, match, [to, from, 1, 1], from)]);
}

function projectVectors(training: TrainingGraph, match: FeatureMatch, student: Value, teacherShape: readonly number[]): Value {
  const from = training.b.shape(student).at(-1) as number;
  const to = teacherShape.at(-1) as number;
  return training.b.matMul(student, projection(training, match, [from, to], from));
}

function pooledTo(training: TrainingGraph, match: FeatureMatch, teacher: Value, shape: readonly number[]): Value {
  const { b } = training;
  const from = b.shape(teacher);
  if (`${from}` === `${shape}`) return teacher;
  const kernel = shape.slice(2).map((extent, i) => (from[i + 2] as number) / extent);
  if (!kernel.every(Number.isInteger))
    throw new EdgewrightError(
      "DISTILL_FEATURE",
      `Positions of "${match.teacher}" [${from.slice(2)}] are no multiple of those of "${match.student}" [${shape.slice(2)}].`,
      { subject: match.student, hint: "Match feature maps at the same stage of both models." },
    );
  return b.op("AveragePool", [teacher], { kernel_shape: kernel, strides: kernel });
}
