import { constant, fed, opCases, random, scalar, weight } from "./define.ts";

const computed = "the size is computed at run time";

export const signal = [
  ...["BlackmanWindow", "HannWindow", "HammingWindow"].map((type) =>
    opCases(type, [
      { name: "periodic", inputs: [scalar("int64", 16)] },
      { name: "symmetric double", inputs: [scalar("int64", 9)], attributes: { periodic: 0, output_datatype: 11 } },
      { name: "computed size", inputs: [fed("int64", [], [8])], dataDependent: computed },
    ]),
  ),
  opCases("DFT", [
    { name: "real signal", inputs: [random([2, 16, 1])] },
    { name: "one side", inputs: [random([2, 16, 1])], attributes: { onesided: 1 } },
    { name: "complex, inverse", inputs: [random([2, 16, 2])], attributes: { inverse: 1 } },
    {
      name: "length and axis",
      inputs: [random([2, 16, 5, 1]), scalar("int64", 8), scalar("int64", 1)],
      attributes: { onesided: 1 },
    },
  ]),
  opCases("STFT", [
    { name: "window", inputs: [random([2, 64, 1]), scalar("int64", 8), weight([16])] },
    { name: "both sides", inputs: [random([2, 64, 1]), scalar("int64", 16), weight([16])], attributes: { onesided: 0 } },
    { name: "frame length", inputs: [random([1, 60, 1]), scalar("int64", 10), undefined, scalar("int64", 16)] },
  ]),
  opCases("MelWeightMatrix", [
    {
      name: "8 bins",
      inputs: [scalar("int64", 8), scalar("int64", 64), scalar("int64", 8000), scalar("float32", 0), scalar("float32", 4000)],
    },
  ]),
  opCases("Det", [
    { name: "batch", inputs: [random([2, 3, 4, 4])] },
    { name: "one matrix", inputs: [constant("float32", [2, 2], [1, 2, 3, 4])] },
  ]),
];
