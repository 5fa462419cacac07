import { opCases, random, weight } from "./define.ts";

const x = random([2, 4, 5, 6]);
const variance = weight([4], { low: 0.5, high: 2 });

export const normalizations = [
  opCases("BatchNormalization", [
    { name: "inference", inputs: [x, weight([4]), weight([4]), weight([4]), variance] },
    { name: "2-D", inputs: [random([3, 4]), weight([4]), weight([4]), weight([4]), variance], attributes: { epsilon: 0.001 } },
    {
      name: "training mode",
      inputs: [x, weight([4]), weight([4]), weight([4]), variance],
      attributes: { training_mode: 1 },
      outputs: 3,
      uncut: "training mode takes the statistics over the batch, which the links let be cut",
    },
  ]),
  opCases("InstanceNormalization", [
    { name: "images", inputs: [x, weight([4]), weight([4])] },
    { name: "signals", inputs: [random([2, 4, 9]), weight([4]), weight([4])], attributes: { epsilon: 0.01 } },
  ]),
  opCases("GroupNormalization", [{ name: "two groups", inputs: [x, weight([4]), weight([4])], attributes: { num_groups: 2 } }]),
  opCases("LayerNormalization", [
    { name: "last axis", inputs: [random([2, 5, 8]), weight([8]), weight([8])] },
    { name: "without bias", inputs: [random([2, 5, 8]), weight([8])] },
    { name: "two axes", inputs: [random([2, 5, 8]), weight([5, 8]), weight([5, 8])], attributes: { axis: 1 } },
    { name: "statistics", inputs: [random([2, 5, 8]), weight([8]), weight([8])], outputs: 3 },
  ]),
  opCases("RMSNormalization", [{ name: "last axis", inputs: [random([2, 5, 8]), weight([8])] }], { opset: 23 }),
  opCases("LRN", [{ name: "size 3", inputs: [x], attributes: { size: 3 } }]),
  opCases("LpNormalization", [
    { name: "defaults", inputs: [random([2, 5, 8])] },
    { name: "p = 1 over channels", inputs: [random([2, 5, 8])], attributes: { p: 1, axis: 1 } },
  ]),
  opCases("MeanVarianceNormalization", [
    { name: "defaults", inputs: [x] },
    { name: "channels too", inputs: [x], attributes: { axes: [1, 2, 3] } },
  ]),
];
