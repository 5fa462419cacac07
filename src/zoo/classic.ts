import { z } from "zod";
import type { Value } from "../ir/index.ts";
import { defineArchitecture } from "./define.ts";
import type { Net } from "./net.ts";

export const classes = z.int().min(2).max(100_000).default(10).describe("Classes to tell apart");
export const channels = z.int().min(1).max(64).describe("Channels of the input image");
export const resolution = z.int().min(8).max(2048).describe("Height and width of the input image");

export const lenet300 = defineArchitecture({
  name: "lenet-300-100",
  summary: "two hidden layers on 28x28 pictures, the classic of pruning papers",
  source: "LeCun et al., Gradient-based learning applied to document recognition, 1998",
  options: z.strictObject({ classes, channels: channels.default(1), resolution: resolution.default(28) }),
  published: [
    { options: {}, parameters: 266_610, macs: 266_200, tolerance: { parameters: 0, macs: 0 }, source: "784-300-100-10" },
  ],
  build(net, o) {
    let x = net.flatten(net.input("image", [o.channels, o.resolution, o.resolution]));
    x = net.activate(net.dense("hidden1", x, 300), "relu");
    x = net.activate(net.dense("hidden2", x, 100), "relu");
    return net.dense("head", x, o.classes);
  },
});

export const lenet5 = defineArchitecture({
  name: "lenet-5",
  summary: "two convolutions and three dense layers, 28x28",
  source: "LeCun et al., 1998; the form with max pooling, ReLU and full connections that tutorials use",
  options: z.strictObject({ classes, channels: channels.default(1), resolution: resolution.default(28) }),
  published: [
    {
      options: {},
      parameters: 61_706,
      macs: 416_520,
      tolerance: { parameters: 0, macs: 0 },
      source: "6-16-120-84-10 with padded first layer",
    },
  ],
  build(net, o) {
    let x = net.input("image", [o.channels, o.resolution, o.resolution]);
    x = net.maxPool(net.activate(net.conv("conv1", x, 6, { kernel: 5, pad: 2, bias: true }), "relu"), 2);
    x = net.maxPool(net.activate(net.conv("conv2", x, 16, { kernel: 5, pad: 0, bias: true }), "relu"), 2);
    x = net.activate(net.dense("hidden1", net.flatten(x), 120), "relu");
    x = net.activate(net.dense("hidden2", x, 84), "relu");
    return net.dense("head", x, o.classes);
  },
});

export const cnn = defineArchitecture({
  name: "cnn",
  summary: "three convolutions with batch normalization, small pictures",
  source: "Edgewright's own test network",
  options: z.strictObject({
    classes,
    channels: channels.default(1),
    resolution: resolution.default(28),
    width: z.number().positive().max(16).default(1).describe("Factor on the channels 16, 32, 64"),
  }),
  published: [
    {
      options: {},
      parameters: 54_778,
      tolerance: { parameters: 0 },
      source: "filters 144 + 4,608 + 18,432, scales and shifts 224, head 31,370",
    },
  ],
  build(net, o) {
    const wide = (c: number): number => Math.max(1, Math.round(c * o.width));
    let x = net.input("image", [o.channels, o.resolution, o.resolution]);
    x = net.maxPool(net.convBlock("block1", x, wide(16)), 2);
    x = net.maxPool(net.convBlock("block2", x, wide(32)), 2);
    x = net.convBlock("block3", x, wide(64));
    return net.dense("head", net.flatten(x), o.classes);
  },
});

/** Two convolutions with biases; the shortcut is a plain 1x1 convolution where the size changes. */
function mlperfBlock(net: Net, name: string, x: Value, outputs: number, stride: number): Value {
  let y = net.conv(`${name}.conv1`, x, outputs, { stride, bias: true });
  y = net.activate(net.batchNorm(`${name}.norm1`, y), "relu");
  y = net.batchNorm(`${name}.norm2`, net.conv(`${name}.conv2`, y, outputs, { bias: true }));
  const shortcut = stride === 1 ? x : net.conv(`${name}.shortcut`, x, outputs, { kernel: 1, stride, pad: 0, bias: true });
  return net.activate(net.add(y, shortcut), "relu");
}

export const resnet8 = defineArchitecture({
  name: "resnet8",
  summary: "MLPerf Tiny's image classifier, 32x32",
  source: "Banbury et al., MLPerf Tiny Benchmark, 2021",
  options: z.strictObject({ classes, channels: channels.default(3), resolution: resolution.default(32) }),
  published: [
    {
      options: {},
      parameters: 78_186,
      macs: 12_501_632,
      tolerance: { parameters: 0, macs: 0.002 },
      source: "MLPerf Tiny reference model",
    },
  ],
  build(net, o) {
    let x = net.input("image", [o.channels, o.resolution, o.resolution]);
    x = net.activate(net.batchNorm("stem.norm", net.conv("stem.conv", x, 16, { bias: true })), "relu");
    x = mlperfBlock(net, "block1", x, 16, 1);
    x = mlperfBlock(net, "block2", x, 32, 2);
    x = mlperfBlock(net, "block3", x, 64, 2);
    return net.dense("head", net.globalPool(x), o.classes);
  },
});

/** Shortcut without weights: every second position, new channels zero (option A). */
function cifarBlock(net: Net, name: string, x: Value, outputs: number, stride: number): Value {
  let y = net.convBlock(`${name}.1`, x, outputs, { stride });
  y = net.convBlock(`${name}.2`, y, outputs, { activation: "none" });
  let shortcut = x;
  if (stride !== 1) {
    const ends = net.b.ints([2 ** 31, 2 ** 31]);
    const sparse = net.op("Slice", [x, net.b.ints([0, 0]), ends, net.b.ints([2, 3]), net.b.ints([stride, stride])]);
    const more = (outputs - net.channels(x)) / 2;
    shortcut = net.op("Pad", [sparse, net.b.ints([0, more, 0, 0, 0, more, 0, 0])]);
  }
  return net.activate(net.add(y, shortcut), "relu");
}

export const resnet20 = defineArchitecture({
  name: "resnet20",
  summary: "the residual network for CIFAR, 20 layers by default",
  source: "He et al., Deep Residual Learning for Image Recognition, 2016, section 4.2",
  options: z.strictObject({
    classes,
    channels: channels.default(3),
    resolution: resolution.default(32),
    depth: z.int().min(8).max(110).default(20).describe("Layers: 6n + 2"),
    width: z.number().positive().max(16).default(1).describe("Factor on the channels 16, 32, 64"),
  }),
  published: [
    {
      options: {},
      parameters: 269_722,
      macs: 40_813_184,
      tolerance: { parameters: 0, macs: 0.01 },
      source: "0.27 M, 41 M; shortcut option A",
    },
  ],
  build(net, o) {
    const blocks = Math.max(1, Math.round((o.depth - 2) / 6));
    const wide = (c: number): number => 2 * Math.max(1, Math.round((c * o.width) / 2));
    let x = net.convBlock("stem", net.input("image", [o.channels, o.resolution, o.resolution]), wide(16));
    for (const [stage, width] of [16, 32, 64].entries())
      for (let i = 0; i < blocks; i++)
        x = cifarBlock(net, `stage${stage + 1}.block${i}`, x, wide(width), stage > 0 && i === 0 ? 2 : 1);
    return net.dense("head", net.globalPool(x), o.classes);
  },
});
