import { z } from "zod";
import type { Value } from "../ir/index.ts";
import type { GraphBuilder } from "../ops/builder.ts";
import { lookupOp } from "../ops/registry.ts";
import { softmax } from "../ops/softmax.ts";
import type { TrainingGraph } from "./training-graph.ts";

const head = {
  output: z.string().optional().describe("Model output (or any value of the model) that it judges; default: the first output"),
  target: z.string().default("target").describe("Name of the batch tensor that it is compared with"),
  weight: z.number().nonnegative().default(1).describe("Factor in the sum of all losses; an input of the step graph"),
};
const axis = z.int().default(-1).describe("Class axis");

export const lossSchema = z.discriminatedUnion("name", [
  z.strictObject({
    name: z.literal("softmax-cross-entropy"),
    ...head,
    axis,
    labelSmoothing: z.number().min(0).max(0.9).default(0),
  }),
  z.strictObject({ name: z.literal("sequence-cross-entropy"), ...head, labelSmoothing: z.number().min(0).max(0.9).default(0) }),
  z.strictObject({ name: z.literal("binary-cross-entropy"), ...head, positiveWeight: z.number().positive().default(1) }),
  z.strictObject({ name: z.literal("focal"), ...head, axis, gamma: z.number().nonnegative().default(2) }),
  z.strictObject({ name: z.literal("mse"), ...head }),
  z.strictObject({ name: z.literal("l1"), ...head }),
  z.strictObject({ name: z.literal("huber"), ...head, delta: z.number().positive().default(1) }),
  z.strictObject({
    name: z.literal("distillation"),
    ...head,
    target: z.string().default("teacher").describe("Name of the batch tensor with the teacher's logits"),
    axis,
    temperature: z.number().positive().default(4),
  }),
]);
export type Loss = z.infer<typeof lossSchema>;
export type LossInput = z.input<typeof lossSchema>;

/** The hyperparameter that scales one loss of several. */
export const lossWeightName = ({ name, target, output }: Loss): string => `weight:${name}:${output ?? ""}:${target}`;

const sigmoid = lookupOp({ domain: "", opType: "Sigmoid" }, new Map([["", 21]]));

/**
 * What a probability is made from, where the model ends in its own softmax or sigmoid (behind ops that only move elements): losses on
 * logits are exact and stable. Any other value comes back as it is.
 */
export function logitsOf(output: Value, opsets: ReadonlyMap<string, number>): Value {
  let value = output;
  for (let hops = 0; hops < 2 && value.producer; hops++) {
    const record = lookupOp(value.producer, opsets);
    if (record === softmax || record === sigmoid) return value.producer.inputs[0] as Value;
    const range = record?.quantization?.output;
    if (value.producer.inputs.length !== 1 || typeof range !== "object" || !("sameAs" in range)) break;
    value = value.producer.inputs[0] as Value;
  }
  return output;
}

/** Σ / (all elements ÷ class extent): a mean over samples (and positions). */
const meanOverRows = (b: GraphBuilder, perElement: Value, classes: number): Value =>
  b.mul(b.reduceSum(perElement, undefined, false), classes / b.size(perElement));
const mean = (b: GraphBuilder, perElement: Value): Value => b.reduceMean(perElement, undefined, false);

/** t·(1 − ε) + ε·Σt/K: rows without any target stay zero, so that padding does not count. */
function smoothed(b: GraphBuilder, target: Value, epsilon: number, at: number): Value {
  if (epsilon === 0) return target;
  const classes = b.shape(target).at(at) as number;
  const total = b.reduceSum(target, [at < 0 ? at + b.rank(target) : at]);
  return b.add(b.mul(target, 1 - epsilon), b.mul(total, epsilon / classes));
}

/** −Σ t·log softmax(z) per sample; t dense, of the logits' shape. */
function crossEntropy(b: GraphBuilder, logits: Value, target: Value, at: number): Value {
  const logProbabilities = b.op("LogSoftmax", [logits], { axis: at });
  return b.neg(meanOverRows(b, b.mul(target, logProbabilities), b.shape(logits).at(at) as number));
}

type Builder<N extends Loss["name"]> = (training: TrainingGraph, loss: Extract<Loss, { name: N }>, output: Value) => Value;

const dense = (training: TrainingGraph, name: string, output: Value): Value =>
  training.dataInput(name, "float32", training.b.shape(output));

const builders: { readonly [N in Loss["name"]]: Builder<N> } = {
  "softmax-cross-entropy": (training, loss, output) => {
    const logits = logitsOf(output, training.b.opsets);
    const target = smoothed(training.b, dense(training, loss.target, logits), loss.labelSmoothing, loss.axis);
    return crossEntropy(training.b, logits, target, loss.axis);
  },
  /** Targets are token ids [batch, time] with weights "<target>_weight" [batch, time]: zero for padding. */
  "sequence-cross-entropy": (training, loss, output) => {
    const { b } = training;
    const logits = logitsOf(output, training.b.opsets);
    const [batch, time, classes] = b.shape(logits) as [number, number, number];
    const ids = training.dataInput(loss.target, "int64", [batch, time]);
    const weight = training.dataInput(`${loss.target}_weight`, "float32", [batch, time]);
    const oneHot = b.op("OneHot", [ids, b.ints([classes]), b.floats([2], [0, 1])], { axis: -1 });
    const target = b.mul(smoothed(b, oneHot, loss.labelSmoothing, -1), b.reshape(weight, [batch, time, 1]));
    const total = b.reduceSum(b.mul(target, b.op("LogSoftmax", [logits], { axis: -1 })), undefined, false);
    return b.neg(b.div(total, b.op("Max", [b.reduceSum(weight, undefined, false), b.scalar(1)])));
  },
  /** max(z, 0) − z·t + log(1 + e^−|z|): never overflows. */
  "binary-cross-entropy": (training, loss, output) => {
    const { b } = training;
    const logits = logitsOf(output, training.b.opsets);
    const target = dense(training, loss.target, logits);
    const zero = b.op("Relu", [logits]);
    const tail = b.op("Softplus", [b.neg(b.abs(logits))]);
    if (loss.positiveWeight === 1) return mean(b, b.add(b.sub(zero, b.mul(logits, target)), tail));
    // (1 − t)·z + (1 + (w − 1)·t)·log(1 + e^−z), with log(1 + e^−z) = max(−z, 0) + log(1 + e^−|z|)
    const factor = b.add(b.mul(target, loss.positiveWeight - 1), 1);
    const negative = b.add(b.op("Relu", [b.neg(logits)]), tail);
    return mean(b, b.add(b.mul(b.sub(1, target), logits), b.mul(factor, negative)));
  },
  /** −Σ t·(1 − p)^γ·log p (Lin et al., "Focal Loss for Dense Object Detection", 2017), softmax form. */
  focal: (training, loss, output) => {
    const { b } = training;
    const logits = logitsOf(output, training.b.opsets);
    const target = dense(training, loss.target, logits);
    const logProbabilities = b.op("LogSoftmax", [logits], { axis: loss.axis });
    const miss = b.op("Max", [b.sub(1, b.exp(logProbabilities)), b.scalar(1e-7)]);
    const focus = b.op("Pow", [miss, b.scalar(loss.gamma)]);
    const terms = b.mul(target, b.mul(focus, logProbabilities));
    return b.neg(meanOverRows(b, terms, b.shape(logits).at(loss.axis) as number));
  },
  mse: (training, loss, output) => {
    const { b } = training;
    return mean(b, b.square(b.sub(output, dense(training, loss.target, output))));
  },
  l1: (training, loss, output) => mean(training.b, training.b.abs(training.b.sub(output, dense(training, loss.target, output)))),
  /** Quadratic up to δ, linear beyond: ½·c² + δ·(|e| − c) with c = min(|e|, δ). */
  huber: (training, loss, output) => {
    const { b } = training;
    const error = b.abs(b.sub(output, dense(training, loss.target, output)));
    const clipped = b.op("Min", [error, b.scalar(loss.delta)]);
    return mean(b, b.add(b.mul(b.square(clipped), 0.5), b.mul(b.sub(error, clipped), loss.delta)));
  },
  /** T²·KL(softmax(t/T) ‖ softmax(z/T)) per sample (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015). */
  distillation: (training, loss, output) => {
    const { b } = training;
    const logits = logitsOf(output, training.b.opsets);
    const { temperature, axis: at } = loss;
    const teacher = b.mul(dense(training, loss.target, logits), 1 / temperature);
    const student = b.op("LogSoftmax", [b.mul(logits, 1 / temperature)], { axis: at });
    const soft = b.op("Softmax", [teacher], { axis: at });
    const terms = b.mul(soft, b.sub(b.op("LogSoftmax", [teacher], { axis: at }), student));
    return b.mul(meanOverRows(b, terms, b.shape(logits).at(at) as number), temperature * temperature);
  },
};

export interface BuiltLoss {
  readonly name: string;
  readonly value: Value;
  readonly weight: Value;
}

/** One loss of the weighted sum; adds its targets as data inputs. Scalar, a mean over the batch. */
export function buildLoss(training: TrainingGraph, loss: Loss): BuiltLoss {
  const output =
    loss.output === undefined || training.graph.outputs.some(({ name }) => name === loss.output)
      ? training.output(loss.output)
      : training.valueNamed(loss.output);
  const value = (builders[loss.name] as Builder<Loss["name"]>)(training, loss as never, output);
  return {
    name: lossWeightName(loss).replace("weight:", ""),
    value,
    weight: training.hyperparameter(lossWeightName(loss), loss.weight),
  };
}
