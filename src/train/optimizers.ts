import { z } from "zod";
import type { Value } from "../ir/index.ts";
import type { GraphBuilder } from "../ops/builder.ts";

const common = {
  learningRate: z.number().positive().optional().describe("Peak learning rate"),
  weightDecay: z.number().nonnegative().default(0).describe("Of matrices and filters; biases and scales are left out"),
};

export const optimizerSchema = z.discriminatedUnion("name", [
  z.strictObject({
    name: z.literal("sgd"),
    ...common,
    momentum: z.number().min(0).max(1).default(0.9),
    nesterov: z.boolean().default(false),
  }),
  z.strictObject({
    name: z.literal("adam"),
    ...common,
    beta1: z.number().min(0).max(1).default(0.9),
    beta2: z.number().min(0).max(1).default(0.999),
    epsilon: z.number().positive().default(1e-8),
  }),
  z.strictObject({
    name: z.literal("adamw"),
    ...common,
    weightDecay: z.number().nonnegative().default(0.01),
    beta1: z.number().min(0).max(1).default(0.9),
    beta2: z.number().min(0).max(1).default(0.999),
    epsilon: z.number().positive().default(1e-8),
  }),
  z.strictObject({
    name: z.literal("lion"),
    ...common,
    beta1: z.number().min(0).max(1).default(0.9),
    beta2: z.number().min(0).max(1).default(0.99),
  }),
]);
export type Optimizer = z.infer<typeof optimizerSchema>;

/** What works without thinking, where the user gives no rate. */
const usualRates: Readonly<Record<Optimizer["name"], number>> = { sgd: 0.05, adam: 1e-3, adamw: 1e-3, lion: 1e-4 };
export const peakLearningRate = ({ name, learningRate }: Optimizer): number => learningRate ?? usualRates[name];

/** Flat vectors of the parameters' size that the optimizer keeps between steps. */
export const optimizerStates = ({ name, ...rest }: Optimizer): readonly string[] => {
  if (name === "sgd") return "momentum" in rest && rest.momentum > 0 ? ["momentum"] : [];
  return name === "lion" ? ["momentum"] : ["momentum", "second_moment"];
};

/** Scalar inputs of the update beside learning rate and weight decay, as functions of the 1-based step. */
export function stepScalars(optimizer: Optimizer, step: number): Readonly<Record<string, number>> {
  if (optimizer.name !== "adam" && optimizer.name !== "adamw") return {};
  return { correction1: 1 / (1 - optimizer.beta1 ** step), correction2: 1 / (1 - optimizer.beta2 ** step) };
}

export interface UpdateInputs {
  readonly weights: Value;
  readonly gradient: Value;
  readonly states: Readonly<Record<string, Value>>;
  readonly learningRate: Value;
  /** weightDecay·w for decayed weights, zero for the others; undefined where decay is off. */
  readonly decay: Value | undefined;
  readonly scalar: (name: string) => Value;
}
export interface Update {
  readonly weights: Value;
  readonly states: Readonly<Record<string, Value>>;
}

type Rule<N extends Optimizer["name"]> = (b: GraphBuilder, o: Extract<Optimizer, { name: N }>, u: UpdateInputs) => Update;

const withDecay = (b: GraphBuilder, { gradient, decay }: UpdateInputs): Value => (decay ? b.add(gradient, decay) : gradient);

/** v ← μ·v + g, w ← w − η·v; Nesterov: w ← w − η·(g + μ·v) (Sutskever et al., 2013). */
const sgd: Rule<"sgd"> = (b, { momentum, nesterov }, u) => {
  const g = withDecay(b, u);
  if (momentum === 0) return { weights: b.sub(u.weights, b.mul(g, u.learningRate)), states: {} };
  const velocity = b.add(b.mul(u.states.momentum as Value, momentum), g);
  const direction = nesterov ? b.add(g, b.mul(velocity, momentum)) : velocity;
  return { weights: b.sub(u.weights, b.mul(direction, u.learningRate)), states: { momentum: velocity } };
};

/** Moment estimates and the direction m̂/(√v̂ + ε) (Kingma and Ba, 2015). */
function adamDirection(
  b: GraphBuilder,
  { beta1, beta2, epsilon }: { beta1: number; beta2: number; epsilon: number },
  u: UpdateInputs,
  g: Value,
): { direction: Value; states: Record<string, Value> } {
  const m = b.add(b.mul(u.states.momentum as Value, beta1), b.mul(g, 1 - beta1));
  const v = b.add(b.mul(u.states.second_moment as Value, beta2), b.mul(b.square(g), 1 - beta2));
  const root = b.add(b.sqrt(b.mul(v, u.scalar("correction2"))), epsilon);
  return { direction: b.div(b.mul(m, u.scalar("correction1")), root), states: { momentum: m, second_moment: v } };
}

const adam: Rule<"adam"> = (b, o, u) => {
  const { direction, states } = adamDirection(b, o, u, withDecay(b, u));
  return { weights: b.sub(u.weights, b.mul(direction, u.learningRate)), states };
};

/** Decay apart from the gradient (Loshchilov and Hutter, 2019). */
const adamw: Rule<"adamw"> = (b, o, u) => {
  const { direction, states } = adamDirection(b, o, u, u.gradient);
  const whole = u.decay ? b.add(direction, u.decay) : direction;
  return { weights: b.sub(u.weights, b.mul(whole, u.learningRate)), states };
};

/** Sign of an interpolated momentum (Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023). */
const lion: Rule<"lion"> = (b, { beta1, beta2 }, u) => {
  const momentum = u.states.momentum as Value;
  const direction = b.op("Sign", [b.add(b.mul(momentum, beta1), b.mul(u.gradient, 1 - beta1))]);
  const whole = u.decay ? b.add(direction, u.decay) : direction;
  const next = b.add(b.mul(momentum, beta2), b.mul(u.gradient, 1 - beta2));
  return { weights: b.sub(u.weights, b.mul(whole, u.learningRate)), states: { momentum: next } };
};

const rules: { readonly [N in Optimizer["name"]]: Rule<N> } = { sgd, adam, adamw, lion };

/** New weights and states from the gradient; all vectors flat. */
export const buildUpdate = (b: GraphBuilder, optimizer: Optimizer, inputs: UpdateInputs): Update =>
  (rules[optimizer.name] as Rule<Optimizer["name"]>)(b, optimizer as never, inputs);
