import { describe, expect, it } from "vitest";
import { float32Tensor } from "../ir/index.ts";
import type { Session } from "../runtime/executor.ts";
import { seededRandom } from "../util/random.ts";
import { compareLatency, latencyComparisonSchema, measureLatency } from "./latency.ts";
import { roundOrders, timeRounds, timerResolution } from "./rounds.ts";

/** A machine whose time passes only when one of its sessions runs; reading its clock costs one tick. */
function fakeMachine(tick = 0.0001) {
  let now = 0;
  const log: string[] = [];
  return {
    log,
    clock: () => {
      now += tick;
      return Math.floor(now / tick) * tick;
    },
    sleep: (ms: number) => {
      now += ms;
    },
    session(name: string, cost: () => number): Session {
      return {
        inputs: [],
        outputNames: [],
        run: async () => {
          log.push(name);
          now += cost();
          return {};
        },
        release: async () => {},
      };
    },
  };
}
const feeds = { x: float32Tensor([1], [0]) };
const device = "a test";

describe("timeRounds", () => {
  it("alternates A B, B A and reverses the shuffled order of more subjects", () => {
    const two = roundOrders(2, 1);
    expect([two(0), two(1), two(2), two(3)]).toEqual([
      [0, 1],
      [1, 0],
      [0, 1],
      [1, 0],
    ]);
    const four = roundOrders(4, 1);
    const rounds = Array.from({ length: 6 }, (_, i) => four(i));
    for (let i = 0; i < 6; i += 2) expect(rounds[i + 1]).toEqual([...(rounds[i] as number[])].reverse());
    for (const order of rounds) expect([...order].sort()).toEqual([0, 1, 2, 3]);
  });

  it("finds the step of the clock, and gives up on one that stands still", () => {
    expect(timerResolution(fakeMachine(0.25).clock)).toBeCloseTo(0.25, 10);
    expect(timerResolution(() => 5)).toBe(1);
  });

  it("repeats short runs until a round is long enough and runs each subject once a round", async () => {
    const machine = fakeMachine();
    const times = await timeRounds(
      [
        { session: machine.session("slow", () => 20), feeds },
        { session: machine.session("fast", () => 0.5), feeds },
      ],
      { rounds: 6, warmupMs: 10, clock: machine.clock },
    );
    expect(times.map((t) => t.batch)).toEqual([1, 10]);
    expect(times.map((t) => t.rounds.length)).toEqual([6, 6]);
    expect(times[1]?.runs).toHaveLength(60);
    // warm-up: three runs of 20 ms, then 10 ms of 0.5 ms runs
    expect(times.map((t) => t.warmupRuns)).toEqual([3, 20]);
    const measured = machine.log.slice(23).join(" ");
    const fast = Array(10).fill("fast").join(" ");
    expect(measured.startsWith(`slow ${fast} ${fast} slow slow ${fast}`)).toBe(true);
  });

  it("times a batch as one where the timer is too coarse for a single run", async () => {
    const machine = fakeMachine(0.1);
    const [times] = await timeRounds([{ session: machine.session("tiny", () => 0.05), feeds }], {
      rounds: 5,
      warmupMs: 5,
      clock: machine.clock,
    });
    expect(times?.timedSingly).toBe(false);
    // a round is at least 1000 ticks = 100 ms long
    expect(times?.batch).toBeGreaterThan(500);
    for (const round of times?.rounds ?? []) expect(round).toBeCloseTo(0.05, 2);
  });

  it("stops by time, after at least five rounds", async () => {
    const machine = fakeMachine();
    const count = async (cost: number) => {
      const subject = { session: machine.session("x", () => cost), feeds };
      const [times] = await timeRounds([subject], { timeMs: 95, warmupMs: 0, roundMs: 0, clock: machine.clock });
      return times?.rounds.length;
    };
    expect(await count(1000)).toBe(5);
    expect(await count(10)).toBe(10);
    expect(await count(0.001)).toBe(1000);
  });

  it("stops by signal and reports progress", async () => {
    const machine = fakeMachine();
    const stop = new AbortController();
    const steps = new Set<string>();
    const session = machine.session("x", () => {
      if (machine.log.length > 8) stop.abort(new Error("enough"));
      return 1;
    });
    const run = timeRounds([{ session, feeds }], {
      clock: machine.clock,
      warmupMs: 0,
      signal: stop.signal,
      onProgress: (event) => steps.add(event.step),
    });
    await expect(run).rejects.toThrow("enough");
    expect([...steps]).toEqual(["warm-up", "rounds"]);
  });

  it("uses several inputs in turn and refuses none", async () => {
    const machine = fakeMachine();
    const seen: number[] = [];
    const session = {
      ...machine.session("x", () => 1),
      run: async (fed: Record<string, unknown>) => {
        seen.push((fed.x as { shape: number[] }).shape[0] as number);
        machine.sleep(1);
        return {};
      },
    };
    const several = [1, 2, 3].map((n) => ({ x: float32Tensor([n], new Array(n).fill(0)) }));
    await timeRounds([{ session, feeds: several }], { rounds: 3, warmupMs: 0, roundMs: 0, clock: machine.clock });
    expect(seen).toEqual([1, 2, 3, 1, 2, 3]);
    await expect(timeRounds([{ session, feeds: [] }])).rejects.toThrow(/nothing to run/);
  });
});

describe("compareLatency", () => {
  const compare = async (costs: Record<string, () => number>, drift = 0) => {
    const machine = fakeMachine();
    let slowdown = 1;
    const subjects = Object.fromEntries(
      Object.entries(costs).map(([name, cost]) => {
        const session = machine.session(name, () => {
          slowdown += drift;
          return cost() * slowdown;
        });
        return [name, { session, feeds, digest: `sha-${name}` }];
      }),
    );
    return compareLatency(subjects, { rounds: 40, warmupMs: 0, clock: machine.clock, device });
  };
  const noisy = (ms: number, seed: number) => {
    const uniform = seededRandom(seed);
    return () => ms * (1 + 0.04 * uniform());
  };

  it("calls a real difference, in either direction, among many subjects", async () => {
    const { results, ratios } = await compare({ fp32: noisy(10, 1), int8: noisy(5, 2), slow: noisy(13, 3), same: noisy(10, 4) });
    expect(ratios.map((r) => [r.name, r.baseline, r.verdict])).toEqual([
      ["int8", "fp32", "faster"],
      ["slow", "fp32", "slower"],
      ["same", "fp32", "not distinguishable"],
    ]);
    // the true ratio is 0.5; noise of 4 % leaves the median of 40 rounds within 2 %
    expect(ratios[0]?.ratio.value).toBeCloseTo(0.5, 1);
    const [low, high] = ratios[0]?.ratio.interval ?? [0, 0];
    expect(low).toBeLessThan(0.5);
    expect(high).toBeGreaterThan(0.5);
    expect(ratios[0]?.speedup).toBeCloseTo(1 / (ratios[0]?.ratio.value as number), 12);
    expect(results[0]?.p50.samples).toHaveLength(40);
    expect(results[0]?.p50.value).toBeGreaterThan(results[0]?.min.value as number);
    expect(results[0]?.p95.value).toBeGreaterThan(results[0]?.p50.value as number);
  });

  it("claims nothing from drift alone", async () => {
    // the machine slows down by a factor of three over the measurement
    const { ratios } = await compare({ a: () => 10, b: () => 10 }, 0.02);
    expect(ratios[0]?.verdict).toBe("not distinguishable");
    expect(ratios[0]?.ratio.value).toBeCloseTo(1, 1);
  });

  it("claims nothing under the noise floor, however sure the interval is", async () => {
    const { ratios } = await compare({ a: () => 10, b: () => 10.05 });
    expect(ratios[0]?.ratio.interval?.[0]).toBeGreaterThan(1);
    expect(ratios[0]?.verdict).toBe("not distinguishable");
  });

  it("writes measurements that say how they came about", async () => {
    const comparison = await compare({ a: noisy(10, 1), b: noisy(20, 2) });
    expect(latencyComparisonSchema.parse(comparison)).toEqual(comparison);
    const [a] = comparison.results;
    expect(a?.p50).toMatchObject({ metric: "latency p50", unit: "ms", subject: "sha-a", device });
    expect(a?.p50.protocol).toContain("40 rounds of 1 run");
    expect(a?.p50.protocol).toContain("2 subjects interleaved");
    expect(a?.p50.protocol).toContain("1 thread;");
    expect(a?.p50.versions.node).toBe(process.versions.node);
  });

  it("lets the caller choose the baseline and refuses one that is not there", async () => {
    const machine = fakeMachine();
    const subjects = {
      a: { session: machine.session("a", () => 1), feeds },
      b: { session: machine.session("b", () => 2), feeds },
    };
    const options = { rounds: 5, warmupMs: 0, clock: machine.clock, device };
    const { ratios } = await compareLatency(subjects, { ...options, baseline: "b" });
    expect(ratios.map((r) => [r.name, r.verdict])).toEqual([["a", "faster"]]);
    await expect(compareLatency(subjects, { ...options, baseline: "c" })).rejects.toThrow(/no subject 'c'/);
  });

  it("measures one session alone", async () => {
    const machine = fakeMachine();
    const result = await measureLatency(
      machine.session("x", () => 4),
      feeds,
      { rounds: 5, warmupMs: 0, clock: machine.clock, device, threads: 2, executor: { name: "ort-node", version: "1.2.3" } },
    );
    expect(result.p50.value).toBeCloseTo(4, 3);
    expect(result).toMatchObject({ threads: 2, rounds: 5 });
    expect(result.p50.protocol).toContain("one subject");
    expect(result.p50.versions).toEqual({ node: process.versions.node, "ort-node": "1.2.3" });
  });
});
