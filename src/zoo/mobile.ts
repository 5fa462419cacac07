import { z } from "zod";
import type { Value } from "../ir/index.ts";
import { channels, classes, resolution } from "./classic.ts";
import { defineArchitecture } from "./define.ts";
import type { Activation, Net } from "./net.ts";

/** Channels rounded to a multiple of 8 without losing more than a tenth (TensorFlow's reference code). */
export function divisible(value: number, divisor = 8): number {
  const rounded = Math.max(divisor, Math.floor((value + divisor / 2) / divisor) * divisor);
  return rounded < 0.9 * value ? rounded + divisor : rounded;
}

export const width = z.number().positive().max(8).default(1).describe("Factor on all channels");
const imagenet = { classes: classes.default(1000), channels: channels.default(3), resolution: resolution.default(224), width };

export const mobilenetV1 = defineArchitecture({
  name: "mobilenet-v1",
  summary: "depthwise separable convolutions; width 0.25 at 96x96 is MLPerf Tiny's person detector",
  source: "Howard et al., MobileNets, 2017",
  options: z.strictObject({ ...imagenet }),
  published: [
    {
      options: {},
      parameters: 4_231_976,
      macs: 568_740_352,
      tolerance: { parameters: 0, macs: 0.005 },
      source: "4.2 M, 569 M (table 6)",
    },
    {
      options: { width: 0.5 },
      parameters: 1_331_592,
      macs: 149e6,
      tolerance: { parameters: 0.01, macs: 0.02 },
      source: "1.3 M, 149 M (table 6)",
    },
  ],
  build(net, o) {
    const wide = (c: number): number => Math.max(8, Math.round(c * o.width));
    let x = net.convBlock("stem", net.input("image", [o.channels, o.resolution, o.resolution]), wide(32), { stride: 2 });
    const rows: readonly (readonly [number, number])[] = [
      [64, 1],
      [128, 2],
      [128, 1],
      [256, 2],
      [256, 1],
      [512, 2],
      [512, 1],
      [512, 1],
      [512, 1],
      [512, 1],
      [512, 1],
      [1024, 2],
      [1024, 1],
    ];
    for (const [i, [outputs, stride]] of rows.entries()) {
      x = net.convBlock(`block${i}.depthwise`, x, net.channels(x), { stride, group: net.channels(x) });
      x = net.convBlock(`block${i}.pointwise`, x, wide(outputs), { kernel: 1 });
    }
    return net.dense("head", net.globalPool(x), o.classes);
  },
});

interface Inverted {
  readonly expand: number;
  readonly outputs: number;
  readonly stride: number;
  readonly kernel?: number;
  readonly activation: Activation;
  readonly excite?: number | undefined;
}

/** Squeeze and excitation (Hu et al., 2018) with the hard sigmoid of MobileNetV3. */
function excite(net: Net, name: string, x: Value, squeezed: number): Value {
  let gate = net.op("GlobalAveragePool", [x]);
  gate = net.activate(net.conv(`${name}.reduce`, gate, squeezed, { kernel: 1, bias: true }), "relu");
  gate = net.conv(`${name}.expand`, gate, net.channels(x), { kernel: 1, bias: true });
  return net.op("Mul", [x, net.op("HardSigmoid", [gate], { alpha: 1 / 6, beta: 0.5 })]);
}

/** Expand, filter by depth, project; a shortcut where the shapes allow. `expand` counts channels. */
export function inverted(net: Net, name: string, x: Value, o: Inverted): Value {
  const inputs = net.channels(x);
  const { kernel = 3, stride, activation } = o;
  let y = o.expand === inputs ? x : net.convBlock(`${name}.expand`, x, o.expand, { kernel: 1, activation });
  y = net.convBlock(`${name}.depthwise`, y, o.expand, { kernel, stride, group: o.expand, activation });
  if (o.excite) y = excite(net, `${name}.excite`, y, o.excite);
  y = net.convBlock(`${name}.project`, y, o.outputs, { kernel: 1, activation: "none" });
  return stride === 1 && inputs === o.outputs ? net.add(x, y) : y;
}

export const mobilenetV2 = defineArchitecture({
  name: "mobilenet-v2",
  summary: "inverted residuals with linear bottlenecks",
  source: "Sandler et al., MobileNetV2, 2018",
  options: z.strictObject({ ...imagenet, dropout: z.number().min(0).max(0.9).default(0).describe("Before the classifier") }),
  published: [
    { options: {}, parameters: 3_504_872, macs: 300_774_272, tolerance: { parameters: 0, macs: 0.005 }, source: "3.5 M, 300 M" },
    {
      options: { classes: 100, resolution: 96 },
      parameters: 2_351_972,
      tolerance: { parameters: 0 },
      source: "the same with 100 classes",
    },
  ],
  build(net, o) {
    const wide = (c: number): number => divisible(c * o.width);
    const rows = [
      [1, 16, 1, 1],
      [6, 24, 2, 2],
      [6, 32, 3, 2],
      [6, 64, 4, 2],
      [6, 96, 3, 1],
      [6, 160, 3, 2],
      [6, 320, 1, 1],
    ] as const;
    let x = net.convBlock("stem", net.input("image", [o.channels, o.resolution, o.resolution]), wide(32), {
      stride: 2,
      activation: "relu6",
    });
    let index = 0;
    for (const [expand, outputs, count, first] of rows)
      for (let i = 0; i < count; i++) {
        const stride = i === 0 ? first : 1;
        x = inverted(net, `block${index++}`, x, {
          expand: net.channels(x) * expand,
          outputs: wide(outputs),
          stride,
          activation: "relu6",
        });
      }
    const last = Math.max(1280, divisible(1280 * o.width));
    x = net.convBlock("last", x, last, { kernel: 1, activation: "relu6" });
    return net.dense("head", net.dropout(net.globalPool(x), o.dropout), o.classes);
  },
});

/** Kernel, expanded channels, outputs, squeeze-and-excite, hard swish, stride. */
type Row = readonly [kernel: number, expand: number, outputs: number, excite: boolean, swish: boolean, stride: number];
const large: readonly Row[] = [
  [3, 16, 16, false, false, 1],
  [3, 64, 24, false, false, 2],
  [3, 72, 24, false, false, 1],
  [5, 72, 40, true, false, 2],
  [5, 120, 40, true, false, 1],
  [5, 120, 40, true, false, 1],
  [3, 240, 80, false, true, 2],
  [3, 200, 80, false, true, 1],
  [3, 184, 80, false, true, 1],
  [3, 184, 80, false, true, 1],
  [3, 480, 112, true, true, 1],
  [3, 672, 112, true, true, 1],
  [5, 672, 160, true, true, 2],
  [5, 960, 160, true, true, 1],
  [5, 960, 160, true, true, 1],
];
const small: readonly Row[] = [
  [3, 16, 16, true, false, 2],
  [3, 72, 24, false, false, 2],
  [3, 88, 24, false, false, 1],
  [5, 96, 40, true, true, 2],
  [5, 240, 40, true, true, 1],
  [5, 240, 40, true, true, 1],
  [5, 120, 48, true, true, 1],
  [5, 144, 48, true, true, 1],
  [5, 288, 96, true, true, 2],
  [5, 576, 96, true, true, 1],
  [5, 576, 96, true, true, 1],
];

const v3 = (name: string, rows: readonly Row[], hidden: number, published: { parameters: number; macs: number }) =>
  defineArchitecture({
    name,
    summary: "searched inverted residuals with squeeze-and-excitation and hard swish",
    source: "Howard et al., Searching for MobileNetV3, 2019 (torchvision's channel rounding)",
    options: z.strictObject({ ...imagenet, dropout: z.number().min(0).max(0.9).default(0).describe("Before the classifier") }),
    published: [{ options: {}, ...published, tolerance: { parameters: 0, macs: 0.02 }, source: "torchvision" }],
    build(net, o) {
      const wide = (c: number): number => divisible(c * o.width);
      let x = net.convBlock("stem", net.input("image", [o.channels, o.resolution, o.resolution]), wide(16), {
        stride: 2,
        activation: "hard-swish",
      });
      for (const [i, [kernel, expand, outputs, excited, swish, stride]] of rows.entries()) {
        const expanded = wide(expand);
        x = inverted(net, `block${i}`, x, {
          kernel,
          expand: expanded,
          outputs: wide(outputs),
          stride,
          activation: swish ? "hard-swish" : "relu",
          excite: excited ? divisible(expanded / 4) : undefined,
        });
      }
      x = net.convBlock("last", x, 6 * net.channels(x), { kernel: 1, activation: "hard-swish" });
      x = net.activate(net.dense("hidden", net.globalPool(x), hidden), "hard-swish");
      return net.dense("head", net.dropout(x, o.dropout), o.classes);
    },
  });

export const mobilenetV3Large = v3("mobilenet-v3-large", large, 1280, { parameters: 5_483_032, macs: 219e6 });
export const mobilenetV3Small = v3("mobilenet-v3-small", small, 1024, { parameters: 2_542_856, macs: 57e6 });
