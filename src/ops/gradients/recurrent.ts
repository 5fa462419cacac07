import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

/** Ports and attributes that LSTM, GRU and RNN share, by their ONNX names. */
export interface RecurrentPorts {
  readonly X: Value;
  readonly W: Value;
  readonly R: Value;
  readonly B?: Value | undefined;
  readonly sequence_lens?: Value | undefined;
  readonly initial_h?: Value | undefined;
  readonly initial_c?: Value | undefined;
  readonly P?: Value | undefined;
}
export interface RecurrentSettings {
  readonly activation_alpha: readonly number[] | undefined;
  readonly activation_beta: readonly number[] | undefined;
  readonly activations: readonly string[] | undefined;
  readonly clip: number | undefined;
  readonly direction: string;
  readonly layout: number;
}

type Activation = (b: GraphBuilder, x: Value) => Value;
type Maker = (alpha: number | undefined, beta: number | undefined) => Activation;
const node =
  (opType: string, attributes: Readonly<Record<string, number | undefined>> = {}): Activation =>
  (b, x) =>
    b.op(opType, [x], attributes);

/** Activations that ONNX names for recurrent ops, with their own defaults. */
const makers: Readonly<Record<string, Maker>> = {
  sigmoid: () => node("Sigmoid"),
  tanh: () => node("Tanh"),
  relu: () => node("Relu"),
  softsign: () => node("Softsign"),
  softplus: () => node("Softplus"),
  leakyrelu: (alpha) => node("LeakyRelu", { alpha }),
  thresholdedrelu: (alpha) => node("ThresholdedRelu", { alpha }),
  elu: (alpha) => node("Elu", { alpha }),
  hardsigmoid: (alpha, beta) => node("HardSigmoid", { alpha, beta }),
  affine:
    (alpha = 1, beta = 0) =>
    (b, x) =>
      b.add(b.mul(x, alpha), beta),
  scaledtanh:
    (alpha = 1, beta = 1) =>
    (b, x) =>
      b.mul(b.op("Tanh", [b.mul(x, beta)]), alpha),
};

/** What one step of one direction is given. */
export interface Step {
  readonly b: GraphBuilder;
  /** x·Wᵀ + Wb of this step, split by gate: [batch, hidden] each. */
  readonly x: readonly Value[];
  readonly h: Value;
  readonly c: Value | undefined;
  /** Rᵀ by gate [hidden, hidden], and Rb by gate [hidden]. */
  readonly r: readonly Value[];
  readonly rb: readonly Value[] | undefined;
  /** Peepholes by gate [hidden]. */
  readonly p: readonly Value[] | undefined;
  readonly f: readonly Activation[];
  readonly clipped: (v: Value) => Value;
}
export interface Cell {
  readonly gates: number;
  readonly activations: readonly string[];
  readonly hasC: boolean;
  readonly step: (call: Step) => { readonly h: Value; readonly c?: Value };
}

export interface Unrolled {
  readonly Y: Value;
  readonly Y_h: Value;
  readonly Y_c: Value | undefined;
}

/** Steps over the time axis one by one: every step becomes nodes of its own, so that ordinary rules differentiate them. */
export function unroll(b: GraphBuilder, cell: Cell, ports: RecurrentPorts, a: RecurrentSettings): Unrolled {
  const batchFirst = (v: Value | undefined): Value | undefined => (v && a.layout ? b.transpose(v, [1, 0, 2]) : v);
  const X = batchFirst(ports.X) as Value;
  const states = { h: batchFirst(ports.initial_h), c: batchFirst(ports.initial_c) };
  const directions = b.shape(ports.W)[0] as number;
  const runs = Array.from({ length: directions }, (_, d) =>
    unrollDirection(b, cell, { ...ports, X, initial_h: states.h, initial_c: states.c }, a, d),
  );
  const stack = (values: readonly Value[], axis: number): Value =>
    b.concat(
      values.map((v) => {
        const shape = b.shape(v);
        return b.reshape(v, [...shape.slice(0, axis), 1, ...shape.slice(axis)]);
      }),
      axis,
    );
  const last = (values: readonly Value[]): Value => stack(values, a.layout ? 1 : 0);
  const all = stack(
    runs.map(({ y }) => y),
    1,
  );
  return {
    Y: a.layout ? b.transpose(all, [2, 0, 1, 3]) : all,
    Y_h: last(runs.map(({ h }) => h)),
    Y_c: cell.hasC ? last(runs.map(({ c }) => c as Value)) : undefined,
  };
}

/** Entry `d` of the direction axis. */
const direction = (b: GraphBuilder, v: Value, d: number): Value => b.reshape(b.slice(v, 0, d, d + 1), b.shape(v).slice(1));

function activationsOf(cell: Cell, a: RecurrentSettings, d: number): Activation[] {
  const names = a.activations ?? [];
  return cell.activations.map((usual, i) => {
    const at = d * cell.activations.length + i;
    const maker = makers[(names[at] ?? usual).toLowerCase()];
    if (!maker) throw new Error(`internal: no activation ${names[at]}`);
    return maker(a.activation_alpha?.[at], a.activation_beta?.[at]);
  });
}

function unrollDirection(b: GraphBuilder, cell: Cell, ports: RecurrentPorts, a: RecurrentSettings, d: number) {
  const [time, batch, width] = b.shape(ports.X) as readonly [number, number, number];
  const hidden = b.shape(ports.R)[2] as number;
  const reverse = a.direction === "reverse" || d === 1;
  const lens = ports.sequence_lens;
  const turn = (v: Value): Value =>
    lens ? b.op("ReverseSequence", [v, b.cast(lens, "int64")], { time_axis: 0, batch_axis: 1 }) : v;
  const input = reverse ? turn(ports.X) : ports.X;
  const order = Array.from({ length: time }, (_, t) => (reverse && !lens ? time - 1 - t : t));
  const biases = ports.B ? b.split(direction(b, ports.B, d), [cell.gates * hidden, cell.gates * hidden], 0) : undefined;
  const gates = (v: Value, axis: number): readonly Value[] => b.split(v, new Array<number>(cell.gates).fill(hidden), axis);
  const product = b.op("Gemm", [b.reshape(input, [time * batch, width]), direction(b, ports.W, d), biases?.[0]], { transB: 1 });
  const steps = b.split(b.reshape(product, [time, batch, cell.gates * hidden]), new Array<number>(time).fill(1), 0);
  const r = gates(b.transpose(direction(b, ports.R, d), [1, 0]), 1);
  const rb = biases && gates(biases[1] as Value, 0);
  const peepholes = ports.P && b.split(direction(b, ports.P, d), [hidden, hidden, hidden], 0);
  const limit = a.clip;
  const clipped = (v: Value): Value => (limit === undefined ? v : b.op("Clip", [v, b.scalar(-limit), b.scalar(limit)]));
  const f = activationsOf(cell, a, d);
  let h = ports.initial_h ? direction(b, ports.initial_h, d) : b.zeros([batch, hidden]);
  let c = cell.hasC ? (ports.initial_c ? direction(b, ports.initial_c, d) : b.zeros([batch, hidden])) : undefined;
  const outputs = new Array<Value>(time);
  for (const t of order) {
    const x = gates(b.reshape(steps[t] as Value, [batch, cell.gates * hidden]), 1);
    const next = cell.step({ b, x, h, c, r, rb, p: peepholes, f, clipped });
    const alive =
      lens && b.reshape(b.cast(b.op("Greater", [b.cast(lens, "int64"), b.scalar(t, "int64")]), "float32"), [batch, 1]);
    const keep = (fresh: Value, old: Value): Value => (alive ? b.add(b.mul(fresh, alive), b.mul(old, b.sub(1, alive))) : fresh);
    c = c && next.c ? keep(next.c, c) : c;
    h = keep(next.h, h);
    outputs[t] = b.reshape(alive ? b.mul(next.h, alive) : next.h, [1, batch, hidden]);
  }
  const y = b.concat(outputs, 0);
  return { y: reverse ? turn(y) : y, h, c };
}

/** h·Rᵀ + Rb of one gate. */
const recurrent = ({ b, r, rb }: Step, gate: number, h: Value): Value => {
  const product = b.matMul(h, r[gate] as Value);
  return rb ? b.add(product, rb[gate] as Value) : product;
};

/** Gates i, o, f, c. */
export const lstmCell = (inputForget: boolean): Cell => ({
  gates: 4,
  activations: ["Sigmoid", "Tanh", "Tanh"],
  hasC: true,
  step(call) {
    const { b, x, h, p, f, clipped } = call;
    const c = call.c as Value;
    const [gate, inner, outer] = f as readonly [Activation, Activation, Activation];
    const before = (i: number, peep: number | undefined, state: Value): Value => {
      const sum = b.add(x[i] as Value, recurrent(call, i, h));
      return clipped(peep === undefined || !p ? sum : b.add(sum, b.mul(p[peep] as Value, state)));
    };
    const enter = gate(b, before(0, 0, c));
    const forget = inputForget ? b.sub(1, enter) : gate(b, before(2, 2, c));
    const next = b.add(b.mul(forget, c), b.mul(enter, inner(b, before(3, undefined, c))));
    const out = gate(b, before(1, 1, next));
    return { h: b.mul(out, outer(b, next)), c: next };
  },
});

/** Gates z, r, h. */
export const gruCell = (linearBeforeReset: boolean): Cell => ({
  gates: 3,
  activations: ["Sigmoid", "Tanh"],
  hasC: false,
  step(call) {
    const { b, x, h, f, clipped } = call;
    const [gate, inner] = f as readonly [Activation, Activation];
    const update = gate(b, clipped(b.add(x[0] as Value, recurrent(call, 0, h))));
    const reset = gate(b, clipped(b.add(x[1] as Value, recurrent(call, 1, h))));
    const past = linearBeforeReset ? b.mul(reset, recurrent(call, 2, h)) : recurrent(call, 2, b.mul(reset, h));
    const fresh = inner(b, clipped(b.add(x[2] as Value, past)));
    return { h: b.add(b.mul(b.sub(1, update), fresh), b.mul(update, h)) };
  },
});

export const rnnCell: Cell = {
  gates: 1,
  activations: ["Tanh"],
  hasC: false,
  step: (call) => ({
    h: (call.f[0] as Activation)(call.b, call.clipped(call.b.add(call.x[0] as Value, recurrent(call, 0, call.h)))),
  }),
};
