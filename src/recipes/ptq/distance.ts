import { fromTypedArray, type Outputs, type PreparedSample, type Tensor, toFloat32 } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import type { ResolvedTask } from "../../measure/task.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { divergences, mean } from "./divergence.ts";

/** How far outputs are from the float model's: what every stage of a search goes by. */
export interface OutputDistance {
  /** What the number is, for reports. */
  readonly measure: string;
  /** Above this the task suffers noticeably. */
  readonly noticeable: number;
  /** One number a run, 0 is equality. `feeds` are what the runs were fed: objects that the context holds. */
  between(reference: readonly Outputs[], outputs: readonly Outputs[], feeds: readonly Feeds[]): number[];
}

/** Kullback-Leibler divergence. */
export const classDistance: OutputDistance = {
  measure: "KL (nats)",
  noticeable: 0.05,
  between: (reference, outputs) => divergences(reference, outputs, true),
};

/** Squared error over squared signal, channel by channel. */
export const tensorDistance: OutputDistance = {
  measure: "relative error",
  noticeable: 0.05,
  between: (reference, outputs) => divergences(reference, outputs, false),
};

/**
 * What the numbers themselves count beside the task's own distance: samples in which the task finds nothing (no object above the threshold)
 * can only be told apart by them.
 */
const plainShare = 0.01;

/** Known by what the task is compared by. */
const isClassScores = ({ fidelity }: Pick<ResolvedTask, "fidelity">): boolean =>
  fidelity.some(({ definition }) => definition.name === "kl");

/**
 * Where a post-process hides what falls short of its threshold, hardly anything crosses it in a dozen images, and what nearly does is not
 * seen. So the error is taken several times, mirrored too: whatever it would push across by its double or in the other direction counts,
 * by the inverse of the multiple.
 */
const multiples = [-4, -1, 2];

/** reference + t·(outputs − reference); undefined where the shapes differ. */
function exaggerated(reference: Outputs, outputs: Outputs, t: number): Outputs | undefined {
  const made: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(outputs)) {
    const original = reference[name];
    if (tensor.dtype !== "float32") made[name] = tensor;
    else if (original?.size !== tensor.size) return undefined;
    else {
      const a = toFloat32(original);
      const b = toFloat32(tensor);
      made[name] = fromTypedArray(
        "float32",
        tensor.shape,
        a.map((x, i) => x + t * ((b[i] as number) - x)),
      );
    }
  }
  return made;
}

type DistanceTask = Pick<ResolvedTask, "fidelity"> & Partial<Pick<ResolvedTask, "postprocess" | "distance" | "run">>;

/**
 * KL for class scores. Where the task has a distance of its own (detections), that one, between what its post-processing makes of the float
 * model's outputs and of the others': the float model's answers are the truth, no labels are read. Else the relative squared error.
 * `samples`: where the feeds come from, for post-processing that wants to know how an image was scaled.
 */
export function distanceOf(task: DistanceTask, samples: readonly PreparedSample[] = []): OutputDistance {
  const plain = isClassScores(task) ? classDistance : tensorDistance;
  const own = task.distance;
  // a plug-in that drives the model makes the task's outputs of several runs
  if (!own || task.run) return plain;
  const origins = new Map(samples.map((sample) => [sample.feeds, sample]));
  const decoded = new WeakMap<Outputs, Outputs | undefined>();
  const decode = (outputs: Outputs, feeds: Feeds): Outputs | undefined => {
    const sample = origins.get(feeds) ?? { id: "", origin: "a calibration input", feeds, target: undefined, geometry: {} };
    try {
      const result = (task.postprocess ?? []).reduce(
        (made, { definition, options }) => definition.apply(made, sample, options),
        outputs,
      );
      return own.applies(result) ? result : undefined;
    } catch (error) {
      if (error instanceof EdgewrightError) return undefined;
      throw error;
    }
  };
  return {
    measure: own.measure,
    noticeable: own.noticeable,
    between: (reference, outputs, feeds) =>
      plain.between(reference, outputs, feeds).map((numbers, i) => {
        const original = reference[i] as Outputs;
        if (!decoded.has(original)) decoded.set(original, decode(original, feeds[i] as Feeds));
        const expected = decoded.get(original);
        if (!expected) return numbers;
        const costOf = (made: Outputs): number => {
          const found = decode(made, feeds[i] as Feeds);
          return found ? own.between(expected, found) : Number.POSITIVE_INFINITY;
        };
        const output = outputs[i] as Outputs;
        const others = own.hides(expected) ? multiples.map((t) => exaggerated(original, output, t)) : [];
        const costs = others.map((made, k) => costOf(made ?? output) / (made ? Math.abs(multiples[k] as number) : 1));
        return (others.length > 0 ? mean(costs) : costOf(output)) + plainShare * Math.min(1, numbers);
      }),
  };
}
