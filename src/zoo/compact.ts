import { z } from "zod";
import type { Value } from "../ir/index.ts";
import { channels, classes, resolution } from "./classic.ts";
import { defineArchitecture } from "./define.ts";
import { divisible, inverted, width } from "./mobile.ts";
import type { Net } from "./net.ts";

const imagenet = { classes: classes.default(1000), channels: channels.default(3), resolution: resolution.default(224) };

function fire(net: Net, name: string, x: Value, squeezed: number, expanded: number): Value {
  const s = net.activate(net.conv(`${name}.squeeze`, x, squeezed, { kernel: 1, bias: true }), "relu");
  const one = net.activate(net.conv(`${name}.expand1`, s, expanded, { kernel: 1, bias: true }), "relu");
  const three = net.activate(net.conv(`${name}.expand3`, s, expanded, { bias: true }), "relu");
  return net.op("Concat", [one, three], { axis: 1 });
}

export const squeezenet = defineArchitecture({
  name: "squeezenet",
  summary: "fire modules, no dense layer (version 1.1)",
  source: "Iandola et al., SqueezeNet, 2016; version 1.1 of the authors' repository",
  options: z.strictObject({ ...imagenet, dropout: z.number().min(0).max(0.9).default(0).describe("Before the classifier") }),
  published: [
    {
      options: {},
      parameters: 1_235_496,
      macs: 349e6,
      tolerance: { parameters: 0, macs: 0.02 },
      source: "torchvision: 1,235,496; 0.35 GFLOPS",
    },
  ],
  build(net, o) {
    let x = net.input("image", [o.channels, o.resolution, o.resolution]);
    x = net.activate(net.conv("stem", x, 64, { stride: 2, pad: 0, bias: true }), "relu");
    const pool = (v: Value): Value => net.op("MaxPool", [v], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 });
    x = pool(x);
    const rows = [[16, 64], [16, 64], "pool", [32, 128], [32, 128], "pool", [48, 192], [48, 192], [64, 256], [64, 256]] as const;
    for (const [i, row] of rows.entries()) x = row === "pool" ? pool(x) : fire(net, `fire${i}`, x, row[0], row[1]);
    x = net.activate(net.conv("head", net.dropout(x, o.dropout), o.classes, { kernel: 1, bias: true }), "relu");
    return net.globalPool(x);
  },
});

/** Channels of two groups interleaved. */
function shuffle(net: Net, x: Value): Value {
  const [c, h, w] = net.shape(x) as readonly [number, number, number];
  const split = net.op("Reshape", [x, net.b.ints([0, 2, c / 2, h, w])]);
  return net.op("Reshape", [net.op("Transpose", [split], { perm: [0, 2, 1, 3, 4] }), net.b.ints([0, c, h, w])]);
}

function shuffleUnit(net: Net, name: string, x: Value, outputs: number, stride: number): Value {
  const half = outputs / 2;
  const branch = (v: Value, prefix: string): Value => {
    let y = net.convBlock(`${name}.${prefix}1`, v, half, { kernel: 1 });
    y = net.convBlock(`${name}.${prefix}2`, y, half, { stride, group: half, activation: "none" });
    return net.convBlock(`${name}.${prefix}3`, y, half, { kernel: 1 });
  };
  if (stride === 1) {
    const [kept, moved] = net.b.split(x, [half, half], 1) as readonly [Value, Value];
    return shuffle(net, net.op("Concat", [kept, branch(moved, "branch")], { axis: 1 }));
  }
  const inputs = net.channels(x);
  let shortcut = net.convBlock(`${name}.shortcut1`, x, inputs, { stride, group: inputs, activation: "none" });
  shortcut = net.convBlock(`${name}.shortcut2`, shortcut, half, { kernel: 1 });
  return shuffle(net, net.op("Concat", [shortcut, branch(x, "branch")], { axis: 1 }));
}

const shuffleWidths: Readonly<Record<string, readonly [number, number, number, number]>> = {
  "0.5": [48, 96, 192, 1024],
  "1": [116, 232, 464, 1024],
  "1.5": [176, 352, 704, 1024],
  "2": [244, 488, 976, 2048],
};

export const shufflenetV2 = defineArchitecture({
  name: "shufflenet-v2",
  summary: "channel splits and shuffles instead of grouped convolutions",
  source: "Ma et al., ShuffleNet V2, 2018",
  options: z.strictObject({
    ...imagenet,
    width: z
      .union([z.literal(0.5), z.literal(1), z.literal(1.5), z.literal(2)])
      .default(1)
      .describe("0.5, 1, 1.5 or 2"),
  }),
  published: [
    {
      options: {},
      parameters: 2_278_604,
      macs: 146e6,
      tolerance: { parameters: 0, macs: 0.02 },
      source: "torchvision; 146 M in the paper",
    },
    {
      options: { width: 0.5 },
      parameters: 1_366_792,
      macs: 41e6,
      tolerance: { parameters: 0, macs: 0.03 },
      source: "torchvision; 41 M in the paper",
    },
  ],
  build(net, o) {
    const [first, second, third, last] = shuffleWidths[String(o.width)] as readonly [number, number, number, number];
    let x = net.convBlock("stem", net.input("image", [o.channels, o.resolution, o.resolution]), 24, { stride: 2 });
    x = net.maxPool(x, 3, 2, 1);
    for (const [stage, [outputs, count]] of (
      [
        [first, 4],
        [second, 8],
        [third, 4],
      ] as const
    ).entries())
      for (let i = 0; i < count; i++) x = shuffleUnit(net, `stage${stage + 2}.${i}`, x, outputs, i === 0 ? 2 : 1);
    x = net.convBlock("last", x, last, { kernel: 1 });
    return net.dense("head", net.globalPool(x), o.classes);
  },
});

/** Width, depth, resolution, dropout by variant. */
const liteVariants = [
  [1, 1, 224, 0.2],
  [1, 1.1, 240, 0.2],
  [1.1, 1.2, 260, 0.3],
  [1.2, 1.4, 280, 0.3],
  [1.4, 1.8, 300, 0.3],
] as const;

export const efficientnetLite = defineArchitecture({
  name: "efficientnet-lite",
  summary: "EfficientNet without squeeze-and-excitation and with ReLU6, for integer hardware; variants 0 to 4",
  source: "Tan and Le, EfficientNet, 2019; Liu, Higher accuracy on vision models with EfficientNet-Lite, 2020",
  options: z.strictObject({
    classes: classes.default(1000),
    channels: channels.default(3),
    variant: z.int().min(0).max(4).default(0).describe("0 to 4: wider, deeper, larger pictures"),
    resolution: resolution.optional(),
    dropout: z.number().min(0).max(0.9).default(0).describe("Before the classifier (0.2 to 0.3 in the source)"),
  }),
  published: [
    { options: {}, parameters: 4_652_008, macs: 407e6, tolerance: { parameters: 0, macs: 0.06 }, source: "4.7 M, 407 M" },
    {
      options: { variant: 4 },
      parameters: 13_006_568,
      macs: 2.564e9,
      tolerance: { parameters: 0, macs: 0.06 },
      source: "13.0 M, 2564 M",
    },
  ],
  build(net, o) {
    const [widthFactor, depthFactor, usual] = liteVariants[o.variant] as (typeof liteVariants)[number];
    const size = o.resolution ?? usual;
    // expand, outputs, repeats, stride, kernel; the first and the last stage keep their depth, stem and head their width
    const rows = [
      [1, 16, 1, 1, 3],
      [6, 24, 2, 2, 3],
      [6, 40, 2, 2, 5],
      [6, 80, 3, 2, 3],
      [6, 112, 3, 1, 5],
      [6, 192, 4, 2, 5],
      [6, 320, 1, 1, 3],
    ] as const;
    let x = net.convBlock("stem", net.input("image", [o.channels, size, size]), 32, { stride: 2, activation: "relu6" });
    for (const [stage, [expand, outputs, repeats, first, kernel]] of rows.entries()) {
      const count = stage === 0 || stage === rows.length - 1 ? repeats : Math.ceil(repeats * depthFactor);
      for (let i = 0; i < count; i++)
        x = inverted(net, `stage${stage + 1}.${i}`, x, {
          expand: net.channels(x) * expand,
          outputs: divisible(outputs * widthFactor),
          stride: i === 0 ? first : 1,
          kernel,
          activation: "relu6",
        });
    }
    x = net.convBlock("last", x, 1280, { kernel: 1, activation: "relu6" });
    return net.dense("head", net.dropout(net.globalPool(x), o.dropout), o.classes);
  },
});

export const dsCnn = defineArchitecture({
  name: "ds-cnn",
  summary: "depthwise separable convolutions on spectrograms; MLPerf Tiny's keyword spotter",
  source: "Zhang et al., Hello Edge, 2017; Banbury et al., MLPerf Tiny Benchmark, 2021",
  options: z.strictObject({
    classes: classes.default(12),
    channels: channels.default(1),
    height: z.int().min(8).max(1024).default(49).describe("Rows of the input: time frames"),
    features: z.int().min(4).max(1024).default(10).describe("Columns of the input: features of a frame"),
    width: width.describe("Factor on the 64 channels"),
    dropout: z.number().min(0).max(0.9).default(0).describe("Before the classifier"),
  }),
  published: [
    {
      options: {},
      parameters: 23_180,
      macs: 2_656_768,
      tolerance: { parameters: 0, macs: 0.02 },
      source: "MLPerf Tiny, without the biases of its convolutions, which batch normalization makes redundant",
    },
  ],
  build(net, o) {
    const wide = Math.max(1, Math.round(64 * o.width));
    let x = net.convBlock("stem", net.input("features", [o.channels, o.height, o.features]), wide, {
      kernel: [10, 4],
      stride: 2,
      pad: [4, 1, 5, 1],
    });
    for (let i = 0; i < 4; i++) {
      x = net.convBlock(`block${i}.depthwise`, x, wide, { group: wide });
      x = net.convBlock(`block${i}.pointwise`, x, wide, { kernel: 1 });
    }
    return net.dense("head", net.dropout(net.globalPool(x), o.dropout), o.classes);
  },
});
