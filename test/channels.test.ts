import { describe, expect, it } from "vitest";
import { conv, convTranspose } from "./cases/conv.ts";
import { gemm, matMul } from "./cases/matmul.ts";
import { checkLinks, testChannelLinks } from "./suites/channels.ts";
import { allCases } from "./suites/op.ts";

testChannelLinks(await allCases());

describe("channel links reach every axis that can be cut", () => {
  const cuts = async (cases: typeof conv, name: string): Promise<number> =>
    checkLinks(
      cases,
      cases.cases.findIndex((one) => one.name === name),
    );
  it("batch, input channels and filters of a convolution", async () => {
    expect(await cuts(conv, "bias")).toBe(3);
    expect(await cuts(convTranspose, "stride 2 with bias")).toBe(3);
  });
  it("batch and channels of a depthwise convolution", async () => {
    expect(await cuts(conv, "depthwise")).toBe(2);
    expect(await cuts(conv, "depthwise with multiplier 2")).toBe(2);
  });
  it("only the batch of a grouped convolution", async () => {
    expect(await cuts(conv, "grouped")).toBe(1);
  });
  it("rows, inner axis and columns of a matrix product", async () => {
    expect(await cuts(gemm, "transB as frameworks export it")).toBe(3);
    expect(await cuts(matMul, "batches")).toBe(5);
  });
});
