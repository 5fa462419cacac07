import { type Dim, type Shape, unknownDim } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { input, link, output } from "./channel-links.ts";
import { type ChannelCall, type ChannelLink, type Cost, defineOp, type StaticInfo, type TensorInfo } from "./define.ts";
import { gruCell, lstmCell, type RecurrentSettings, rnnCell, unroll } from "./gradients/recurrent.ts";
import { like } from "./type-rules.ts";

const common = {
  activation_alpha: attr.floats(),
  activation_beta: attr.floats(),
  activations: attr.strings(),
  clip: attr.float(),
  direction: attr.string("forward"),
  hidden_size: attr.int(),
  layout: attr.int(0),
} as const;

interface RecurrentAttributes {
  readonly direction: string;
  readonly hidden_size: number | undefined;
  readonly layout: number;
}

/**
 * X [time, batch, in] with R [directions, gates·hidden, hidden] gives Y [time, directions, batch, hidden] and the last state
 * [directions, batch, hidden]; layout 1 puts batch first everywhere.
 */
export function recurrentShapes(X: TensorInfo, R: TensorInfo, a: RecurrentAttributes): { all: Dim[]; last: Dim[] } {
  const directions = a.direction === "bidirectional" ? 2 : 1;
  const hidden = R.shape?.[2] ?? a.hidden_size ?? unknownDim;
  const [first, second] = [X.shape?.[0] ?? unknownDim, X.shape?.[1] ?? unknownDim];
  return a.layout
    ? { all: [first, second, directions, hidden], last: [first, directions, hidden] }
    : { all: [first, directions, second, hidden], last: [directions, second, hidden] };
}

/** Every step multiplies the input by W and the state by R, in each direction; a handful of operations per gate follows. */
export function recurrentCost(X: StaticInfo, W: StaticInfo, R: StaticInfo): Cost {
  const steps = (X.shape[0] as number) * (X.shape[1] as number);
  const [directions = 1, gates = 0, width = 0] = W.shape;
  const macs = steps * directions * gates * (width + (R.shape[2] as number));
  return { macs, flops: 2 * macs + 12 * steps * directions * gates };
}

/** `gates` blocks of hidden rows lie in W, R and (twice) in B; the state's ports follow, each with hidden last. */
function recurrentLinks({ inputShapes, outputShapes }: ChannelCall, gates: number, peepholes: number): ChannelLink[] {
  const hidden = inputShapes[2]?.[2];
  if (typeof hidden !== "number") return [link(input(0, 2), input(1, 2))];
  const blocks = (index: number, axis: number, count: number): ChannelLink[] =>
    inputShapes[index]
      ? Array.from({ length: count }, (_, gate) => ({ ...link(input(2, 2), input(index, axis)), offset: gate * hidden }))
      : [];
  const last = (port: typeof input, shape: Shape | undefined, index: number): ChannelLink[] =>
    shape ? [link(input(2, 2), port(index, shape.length - 1))] : [];
  return [
    link(input(0, 2), input(1, 2)),
    ...blocks(1, 1, gates),
    ...blocks(2, 1, gates),
    ...blocks(3, 1, 2 * gates),
    ...blocks(7, 1, peepholes),
    ...[5, 6].flatMap((index) => last(input, inputShapes[index], index)),
    ...[0, 1, 2].flatMap((index) => last(output, outputShapes[index], index)),
  ];
}

/** Attributes as the unrolling reads them. */
const settings = (a: Readonly<Record<string, unknown>>): RecurrentSettings => a as unknown as RecurrentSettings;

export const lstm = defineOp({
  type: "LSTM",
  since: 14,
  inputs: ["X", "W", "R", "B?", "sequence_lens?", "initial_h?", "initial_c?", "P?"],
  outputs: ["Y?", "Y_h?", "Y_c?"],
  attributes: { ...common, input_forget: attr.int(0) },
  infer: ({ X, R }, { attributes }) => {
    const { all, last } = recurrentShapes(X, R, attributes);
    return { Y: like(X, all), Y_h: like(X, last), Y_c: like(X, last) };
  },
  cost: ({ X, W, R }) => recurrentCost(X, W, R),
  channels: (call) => recurrentLinks(call, 4, 3),
  learned: ["W", "R", "B", "P"],
  gradient: {
    expand: ({ b, inputs, attributes }) => {
      const { Y, Y_h, Y_c } = unroll(b, lstmCell(attributes.input_forget !== 0), inputs, settings(attributes));
      return { Y, Y_h, Y_c };
    },
  },
});

export const gru = defineOp({
  type: "GRU",
  since: 14,
  inputs: ["X", "W", "R", "B?", "sequence_lens?", "initial_h?"],
  outputs: ["Y?", "Y_h?"],
  attributes: { ...common, linear_before_reset: attr.int(0) },
  infer: ({ X, R }, { attributes }) => {
    const { all, last } = recurrentShapes(X, R, attributes);
    return { Y: like(X, all), Y_h: like(X, last) };
  },
  cost: ({ X, W, R }) => recurrentCost(X, W, R),
  channels: (call) => recurrentLinks(call, 3, 0),
  learned: ["W", "R", "B"],
  gradient: {
    expand: ({ b, inputs, attributes }) => {
      const { Y, Y_h } = unroll(b, gruCell(attributes.linear_before_reset !== 0), inputs, settings(attributes));
      return { Y, Y_h };
    },
  },
});

export const rnn = defineOp({
  type: "RNN",
  since: 14,
  inputs: ["X", "W", "R", "B?", "sequence_lens?", "initial_h?"],
  outputs: ["Y?", "Y_h?"],
  attributes: common,
  infer: ({ X, R }, { attributes }) => {
    const { all, last } = recurrentShapes(X, R, attributes);
    return { Y: like(X, all), Y_h: like(X, last) };
  },
  cost: ({ X, W, R }) => recurrentCost(X, W, R),
  channels: (call) => recurrentLinks(call, 1, 0),
  learned: ["W", "R", "B"],
  gradient: {
    expand: ({ b, inputs, attributes }) => {
      const { Y, Y_h } = unroll(b, rnnCell, inputs, settings(attributes));
      return { Y, Y_h };
    },
  },
});
