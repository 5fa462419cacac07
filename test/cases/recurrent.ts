import { fed, opCases, random, weight } from "./define.ts";

const x = random([6, 2, 3]);
const state = random([1, 2, 4]);
const cutZeroed = "a state entry feeds every other one through R";

export const recurrent = [
  opCases("LSTM", [
    {
      name: "all outputs",
      inputs: [x, weight([1, 16, 3]), weight([1, 16, 4])],
      attributes: { hidden_size: 4 },
      outputs: 3,
      cutZeroed,
    },
    {
      name: "bias, state and peepholes",
      inputs: [x, weight([1, 16, 3]), weight([1, 16, 4]), weight([1, 32]), undefined, state, random([1, 2, 4]), weight([1, 12])],
      attributes: { hidden_size: 4 },
      outputs: 3,
      cutZeroed,
    },
    {
      name: "both directions",
      inputs: [x, weight([2, 16, 3]), weight([2, 16, 4]), weight([2, 32])],
      attributes: { hidden_size: 4, direction: "bidirectional" },
      outputs: 3,
      cutZeroed,
    },
    {
      name: "last state only, lengths given",
      inputs: [x, weight([1, 16, 3]), weight([1, 16, 4]), undefined, fed("int32", [2], [6, 4])],
      attributes: { hidden_size: 4 },
      outputs: [false, true],
      cutZeroed,
    },
    {
      name: "batch first",
      inputs: [random([2, 6, 3]), weight([1, 16, 3]), weight([1, 16, 4])],
      attributes: { hidden_size: 4, layout: 1 },
      outputs: 3,
      noKernel: "its LSTM supports layout 0 only",
      expected: [
        ["float32", [2, 6, 1, 4]],
        ["float32", [2, 1, 4]],
        ["float32", [2, 1, 4]],
      ],
    },
  ]),
  opCases("GRU", [
    { name: "plain", inputs: [x, weight([1, 12, 3]), weight([1, 12, 4])], attributes: { hidden_size: 4 }, outputs: 2, cutZeroed },
    {
      name: "reset after, with bias and state",
      inputs: [x, weight([1, 12, 3]), weight([1, 12, 4]), weight([1, 24]), undefined, state],
      attributes: { hidden_size: 4, linear_before_reset: 1 },
      outputs: 2,
      cutZeroed,
    },
    {
      name: "reverse",
      inputs: [x, weight([1, 12, 3]), weight([1, 12, 4])],
      attributes: { hidden_size: 4, direction: "reverse" },
      cutZeroed,
    },
  ]),
  opCases("RNN", [
    { name: "plain", inputs: [x, weight([1, 4, 3]), weight([1, 4, 4])], attributes: { hidden_size: 4 }, outputs: 2, cutZeroed },
    {
      name: "both directions with bias",
      inputs: [x, weight([2, 4, 3]), weight([2, 4, 4]), weight([2, 8])],
      attributes: { hidden_size: 4, direction: "bidirectional", activations: ["Relu", "Tanh"] },
      outputs: 2,
      cutZeroed,
    },
  ]),
];
