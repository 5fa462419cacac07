import { opCases, random, scalar, weight } from "./define.ts";

const x = random([2, 3, 4, 5], { low: -4, high: 4 });

export const activations = [
  opCases("Relu", [
    { name: "4-D", inputs: [x] },
    { name: "int32", inputs: [random([3, 4], { dtype: "int32" })] },
  ]),
  opCases("LeakyRelu", [{ name: "alpha", inputs: [x], attributes: { alpha: 0.1 } }]),
  opCases("Elu", [{ name: "alpha", inputs: [x], attributes: { alpha: 0.5 } }]),
  opCases("Selu", [{ name: "defaults", inputs: [x] }]),
  opCases("Celu", [{ name: "alpha", inputs: [x], attributes: { alpha: 2 } }]),
  opCases("Sigmoid", [{ name: "4-D", inputs: [x] }]),
  opCases("HardSigmoid", [
    { name: "defaults", inputs: [x] },
    { name: "one sixth", inputs: [x], attributes: { alpha: 1 / 6, beta: 0.5 } },
  ]),
  opCases("HardSwish", [{ name: "4-D", inputs: [x] }]),
  opCases("Tanh", [{ name: "4-D", inputs: [x] }]),
  opCases("Gelu", [
    { name: "exact", inputs: [x] },
    { name: "tanh", inputs: [x], attributes: { approximate: "tanh" } },
  ]),
  opCases("Mish", [{ name: "4-D", inputs: [x] }]),
  opCases("Swish", [{ name: "alpha", inputs: [x], attributes: { alpha: 1.5 } }], { opset: 24 }),
  opCases("Softplus", [{ name: "4-D", inputs: [x] }]),
  opCases("Softsign", [{ name: "4-D", inputs: [x] }]),
  opCases("ThresholdedRelu", [{ name: "alpha", inputs: [x], attributes: { alpha: 0.5 } }]),
  opCases("Shrink", [{ name: "soft", inputs: [x], attributes: { bias: 0.5, lambd: 1 } }]),
  opCases("Clip", [
    { name: "relu6", inputs: [x, scalar("float32", 0), scalar("float32", 6)] },
    { name: "only below", inputs: [x, scalar("float32", 0)] },
    { name: "only above", inputs: [x, undefined, scalar("float32", 1)] },
    { name: "no bounds", inputs: [x] },
    { name: "int64", inputs: [random([5], { dtype: "int64" }), scalar("int64", 0), scalar("int64", 3)] },
  ]),
  opCases("PRelu", [
    { name: "per channel", inputs: [x, weight([3, 1, 1])] },
    { name: "one slope", inputs: [x, weight([1])] },
  ]),
  opCases("Dropout", [
    { name: "inference", inputs: [x] },
    { name: "ratio and mask", inputs: [x, scalar("float32", 0.3)], outputs: 2 },
  ]),
  opCases("Softmax", [
    { name: "last axis", inputs: [random([2, 3, 4])] },
    { name: "channels", inputs: [random([2, 3, 4])], attributes: { axis: 1 } },
    { name: "vector", inputs: [random([7])], attributes: { axis: 0 } },
  ]),
  opCases("LogSoftmax", [
    { name: "last axis", inputs: [random([2, 3, 4])] },
    { name: "first axis", inputs: [random([2, 3, 4])], attributes: { axis: 0 } },
  ]),
  opCases("Hardmax", [{ name: "channels", inputs: [random([2, 3, 4])], attributes: { axis: 1 } }]),
];
