import { describe, expect, test } from "vitest";
import { tensorOf } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import { ortNode } from "../../runtime/ort-node.ts";
import { findTarget } from "../../targets/index.ts";
import { type ContextRequest, contextOf } from "./context.ts";
import { classDistance, tensorDistance } from "./distance.ts";

const feedsOf = (count: number, size = 4): Feeds[] =>
  Array.from({ length: count }, (_, i) => ({ x: tensorOf("float32", [1, size], new Array(size).fill(i)) }));
const request = (feeds: readonly Feeds[], metric = "kl", target = "ort-x64"): ContextRequest => ({
  setup: {
    task: { fidelity: [{ definition: { name: metric } }] },
    executor: ortNode,
    threads: 1,
    target: findTarget(target, { arch: "x64", instructionSets: [] }),
  } as unknown as ContextRequest["setup"],
  statistics: new Map(),
  feeds,
  options: {},
});

describe("what post-training quantization works with", () => {
  test("inputs that judge are others than those that things are made from", () => {
    const all = feedsOf(20);
    const { feeds, judgeFeeds } = contextOf(request(all));
    expect(feeds).toEqual(all.slice(0, 12));
    expect(judgeFeeds).toEqual(all.slice(12));
  });

  test("where few are left to judge, what learns nothing from its inputs is compared on all of them", () => {
    const all = feedsOf(20);
    expect(contextOf(request(all)).compareFeeds).toEqual(all);
    expect(contextOf(request(feedsOf(40))).compareFeeds).toBeUndefined();
  });

  test("very few inputs do both", () => {
    const all = feedsOf(5);
    const { feeds, judgeFeeds } = contextOf(request(all));
    expect(feeds).toEqual(all);
    expect(judgeFeeds).toEqual(all);
  });

  test("large inputs are kept only as far as memory allows, at least eight of them", () => {
    const size = 9 * 2 ** 20;
    const huge = Array<Feeds>(30).fill(feedsOf(1, 1)[0] as Feeds);
    huge[0] = { x: { size } as unknown as Feeds[string] };
    const { feeds, judgeFeeds } = contextOf(request(huge));
    expect(feeds.length + judgeFeeds.length).toBe(8);
  });

  test("class scores are known by the task's metrics", () => {
    expect(contextOf(request(feedsOf(9), "kl")).distance).toBe(classDistance);
    expect(contextOf(request(feedsOf(9), "sqnr")).distance).toBe(tensorDistance);
  });

  test("where sums may saturate the search has all eight bits: saturating layers are changed afterwards", () => {
    const target = findTarget("ort-x64", { arch: "x64", instructionSets: [] });
    expect(target.saturates).toBeDefined();
    expect(contextOf(request(feedsOf(9))).row.weight.reduceRange).toBe(false);
  });
});
