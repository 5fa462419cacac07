import { expect, it } from "vitest";
import { Graph } from "../ir/index.ts";
import { type Chooser, GraphBuilder } from "../ops/builder.ts";
import { inputRole } from "../ops/gradients/conv-input.ts";
import { weightRole } from "../ops/gradients/conv-weight.ts";
import type { Executor } from "../runtime/executor.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { autoTune, type TuningCache } from "./autotune.ts";
import { differentiate } from "./gradient.ts";

/** Gradients of one small convolution; returns what was asked. */
function build(choose: Chooser): void {
  const graph = new Graph("tuned");
  const b = new GraphBuilder(graph, { choose });
  const x = b.floats([2, 3, 6, 6], new Float32Array(216));
  const w = b.floats([4, 3, 3, 3], new Float32Array(108));
  const y = b.op("Conv", [b.op("Relu", [x]), w], { pads: [1, 1, 1, 1] });
  differentiate(b, b.reduceSum(y, undefined, false), [x, w]);
}

class MemoryCache implements TuningCache {
  readonly choices = new Map<string, string>();
  get = (key: string): string | undefined => this.choices.get(key);
  set = (key: string, choice: string): void => void this.choices.set(key, choice);
}

/** Takes as long as its model has nodes named after `slow` ops. */
function fakeExecutor(cost: () => number, loaded: { count: number }): { executor: Executor; clock: () => number } {
  let now = 0;
  const executor: Executor = {
    name: "fake",
    version: "1",
    async load() {
      loaded.count++;
      const each = cost();
      return {
        inputs: [],
        outputNames: [],
        async run() {
          now += each;
          return {};
        },
        async release() {},
      };
    },
  };
  return { executor, clock: () => now };
}

it("takes the fastest candidate and asks the cache first", async () => {
  const loaded = { count: 0 };
  // the third model that is loaded is the fastest
  const { executor, clock } = fakeExecutor(() => (loaded.count === 3 ? 1 : 10), loaded);
  const cache = new MemoryCache();
  const asked: string[][] = [];
  const choose = await autoTune(
    (chooser) =>
      build((role, key, candidates) => {
        if (role === weightRole) asked.push([...candidates]);
        return chooser(role, key, candidates);
      }),
    { executor, session: { threads: 1 }, cache, clock },
  );
  const chosen: Record<string, string | undefined> = {};
  build((role, key, candidates) => {
    chosen[role] = choose(role, key, candidates);
    return chosen[role];
  });
  const names = asked[0] as string[];
  // whichever role came first, one of its candidates was the third model
  expect([...cache.choices.values()]).toHaveLength(2);
  expect(Object.keys(chosen).sort()).toEqual([inputRole, weightRole].sort());
  expect(names).toContain(chosen[weightRole]);
  const before = loaded.count;
  await autoTune(build, { executor, session: { threads: 1 }, cache, clock });
  expect(loaded.count).toBe(before);
});

it("chooses a legal candidate with a real runtime", async () => {
  const cache = new MemoryCache();
  await autoTune(build, { executor: ortNode, session: { threads: 1 }, cache, repeats: 1 });
  expect([...cache.choices.keys()].every((key) => key.startsWith(`ort-node ${ortNode.version} 1 threads`))).toBe(true);
  expect(cache.choices.size).toBe(2);
});
