import { describe, expect, it } from "vitest";
import { noRealData, realModel } from "../../test/real-data.ts";
import { float32Tensor } from "../ir/index.ts";
import { opProfileSchema, profileModel, summarizeProfile } from "./profile.ts";
import { parseProfile } from "./profile-file.ts";

const kernel = (node: string, op: string, dur: number, index: number, args = {}) => ({
  cat: "Node",
  name: `${node}_kernel_time`,
  dur,
  args: {
    op_name: op,
    provider: "CPUExecutionProvider",
    node_index: String(index),
    output_size: "64",
    parameter_size: "0",
    ...args,
  },
});
const run = { cat: "Session", name: "model_run", dur: 100 };

describe("parseProfile", () => {
  const text = JSON.stringify([
    { cat: "Session", name: "session_initialization", dur: 5 },
    kernel("conv", "Conv", 900, 1, { mem_in_use_peak: "70280" }),
    run,
    kernel("conv", "Conv", 300, 1),
    kernel("relu", "Relu", 100, 2, { mem_in_use_peak: "512" }),
    { cat: "Node", name: "relu_fence_before", dur: 1 },
    run,
    kernel("conv", "Conv", 500, 1),
    kernel("relu", "Relu", 100, 2),
    run,
  ]);

  it("reads kernels, counts runs and leaves warm-up out", () => {
    expect(parseProfile(text).kernels).toHaveLength(5);
    const file = parseProfile(text, 1);
    expect(file).toMatchObject({ runs: 2, arenaPeakBytes: 70280 });
    expect(file.kernels.map((k) => [k.node, k.opType, k.microseconds])).toEqual([
      ["conv", "Conv", 300],
      ["relu", "Relu", 100],
      ["conv", "Conv", 500],
      ["relu", "Relu", 100],
    ]);
  });

  it("adds up by node and op type, per run", () => {
    const { nodes, opTypes, totalMs } = summarizeProfile(parseProfile(text, 1));
    expect(totalMs).toBeCloseTo(0.5, 12);
    expect(nodes.map((n) => [n.node, n.calls, n.ms, n.share])).toEqual([
      ["conv", 1, 0.4, 0.8],
      ["relu", 1, 0.1, 0.2],
    ]);
    expect(opTypes.map((o) => [o.opType, o.nodes, o.share])).toEqual([
      ["Conv", 1, 0.8],
      ["Relu", 1, 0.2],
    ]);
  });

  it("keeps nodes of one name apart and survives an empty profile", () => {
    const twice = JSON.stringify([kernel("", "Conv", 10, 1), kernel("", "Conv", 10, 2), run]);
    expect(summarizeProfile(parseProfile(twice)).nodes).toHaveLength(2);
    expect(summarizeProfile(parseProfile("[]"))).toEqual({ nodes: [], opTypes: [], totalMs: 0 });
  });

  it("says when a profile is broken", () => {
    expect(() => parseProfile("[{")).toThrow(/not valid JSON/);
    expect(() => parseProfile("{}")).toThrow(/not a list/);
  });
});

describe.skipIf(noRealData)("profileModel", () => {
  it("profiles a real model", async () => {
    const feeds = { input_1: float32Tensor([1, 3, 32, 32], new Float32Array(3072)) };
    const profile = await profileModel(realModel("resnet8-cifar10-mlperf"), feeds, { runs: 4, device: "test" });
    expect(opProfileSchema.parse(profile)).toEqual(profile);
    // this network is nine convolutions and a classifier: they take most of the time in any runtime
    expect(profile.opTypes[0]?.opType).toMatch(/Conv/);
    expect(profile.nodes.reduce((sum, node) => sum + node.share, 0)).toBeCloseTo(1, 9);
    expect(new Set(profile.nodes.map((node) => node.calls))).toEqual(new Set([1]));
  });
});
