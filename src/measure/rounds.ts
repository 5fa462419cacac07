import type { Tensor } from "../ir/index.ts";
import type { Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { seededRandom, shuffled } from "../util/random.ts";
import { median } from "./ratio.ts";

export type Feeds = Readonly<Record<string, Tensor>>;

export interface RoundSubject {
  readonly session: Session;
  /** One set of inputs, or several that are used in turn. */
  readonly feeds: Feeds | readonly Feeds[];
}

export interface RoundOptions extends RunOptions {
  /** Exactly so many rounds; default: as many as `timeMs` allows, at least 5 and at most 1000. */
  readonly rounds?: number | undefined;
  /** Time for all rounds of all subjects together, without warm-up; default 3000. */
  readonly timeMs?: number | undefined;
  /** Warm-up of each subject: until this long and at least 3 runs; default 300. */
  readonly warmupMs?: number | undefined;
  /** A round repeats a short run until it took this long; default 5, and never under 1000 ticks of the timer. */
  readonly roundMs?: number | undefined;
  readonly seed?: number | undefined;
  /** Milliseconds that never go back; default `performance.now`. */
  readonly clock?: (() => number) | undefined;
}

export interface RoundTimes {
  /** One number per round: the median run of the round, in milliseconds (the mean if the timer is too coarse for single runs). */
  readonly rounds: readonly number[];
  /** Every timed run; equals `rounds` if the timer is too coarse for single runs. */
  readonly runs: readonly number[];
  /** Runs per round. */
  readonly batch: number;
  readonly warmupRuns: number;
  readonly timedSingly: boolean;
}

const minimumRounds = 5;
const maximumRounds = 1000;
const minimumWarmupRuns = 3;
const maximumBatch = 10_000;

/** Smallest step that a clock shows. */
export function timerResolution(clock: () => number): number {
  let smallest = Number.POSITIVE_INFINITY;
  let last = clock();
  for (let reads = 0, steps = 0; reads < 20_000 && steps < 20; reads++) {
    const now = clock();
    if (now > last) {
      smallest = Math.min(smallest, now - last);
      steps++;
    }
    last = now;
  }
  // a clock that stood still through 20,000 reads is no finer than a millisecond
  return Number.isFinite(smallest) ? smallest : 1;
}

/**
 * Positions of `count` subjects in round `index`. Two alternate A B, B A; more go in seeded random order, and every second round runs
 * the order before it backwards. Either way a slow drift of the machine falls on all subjects alike.
 */
export function roundOrders(count: number, seed: number): (index: number) => readonly number[] {
  const uniform = seededRandom(seed);
  const forward = Array.from({ length: count }, (_, i) => i);
  let last: readonly number[] = forward;
  return (index) => {
    if (index % 2 === 1) return [...last].reverse();
    last = count > 2 ? shuffled(forward, uniform) : forward;
    return last;
  };
}

interface Runner {
  run(): Promise<unknown>;
  batch: number;
  warmupRuns: number;
  timedSingly: boolean;
  readonly rounds: number[];
  readonly runs: number[];
}

function runnerOf(subject: RoundSubject): Runner {
  const list = Array.isArray(subject.feeds) ? (subject.feeds as readonly Feeds[]) : [subject.feeds as Feeds];
  if (list.length === 0) throw new EdgewrightError("LATENCY_NO_INPUT", "There is nothing to run: the list of inputs is empty.");
  let next = 0;
  const run = () => subject.session.run(list[next++ % list.length] as Feeds);
  return { run, batch: 1, warmupRuns: 0, timedSingly: true, rounds: [], runs: [] };
}

async function warmUp(runner: Runner, options: RoundOptions, clock: () => number, resolution: number): Promise<void> {
  const times: number[] = [];
  const until = options.warmupMs ?? 300;
  const start = clock();
  do {
    options.signal?.throwIfAborted();
    const before = clock();
    await runner.run();
    times.push(clock() - before);
  } while (times.length < minimumWarmupRuns || clock() - start < until);
  runner.warmupRuns = times.length;
  // the first runs allocate and compile; the later half tells how long a run takes
  const later = times.slice(Math.floor(times.length / 2));
  const typical = Math.max(median(later), later.reduce((sum, time) => sum + time, 0) / later.length, resolution / 100);
  const roundMs = Math.max(options.roundMs ?? 5, 1000 * resolution);
  runner.batch = Math.min(maximumBatch, Math.max(1, Math.ceil(roundMs / typical)));
  runner.timedSingly = typical >= 100 * resolution;
}

async function runRound(runner: Runner, signal: AbortSignal | undefined, clock: () => number): Promise<void> {
  signal?.throwIfAborted();
  if (!runner.timedSingly) {
    const start = clock();
    for (let i = 0; i < runner.batch; i++) await runner.run();
    const mean = (clock() - start) / runner.batch;
    runner.rounds.push(mean);
    runner.runs.push(mean);
    return;
  }
  const times: number[] = [];
  let last = clock();
  for (let i = 0; i < runner.batch; i++) {
    await runner.run();
    const now = clock();
    times.push(now - last);
    last = now;
  }
  runner.rounds.push(median(times));
  runner.runs.push(...times);
}

/** Times several subjects in one process, round by round, each round running every subject; the times pair up by round. */
export async function timeRounds(subjects: readonly RoundSubject[], options: RoundOptions = {}): Promise<RoundTimes[]> {
  const clock = options.clock ?? (() => performance.now());
  const resolution = timerResolution(clock);
  const runners = subjects.map(runnerOf);
  for (const [i, runner] of runners.entries()) {
    options.onProgress?.({ step: "warm-up", done: i, total: runners.length });
    await warmUp(runner, options, clock, resolution);
  }
  const order = roundOrders(runners.length, options.seed ?? 1);
  const exact = options.rounds;
  const limit = exact ?? maximumRounds;
  const budget = options.timeMs ?? 3000;
  const start = clock();
  for (let round = 0; round < limit; round++) {
    const elapsed = clock() - start;
    if (exact === undefined && round >= minimumRounds && elapsed >= budget) break;
    options.onProgress?.(
      exact === undefined
        ? { step: "rounds", done: Math.round(Math.min(1, elapsed / budget) * 100), total: 100 }
        : { step: "rounds", done: round, total: exact },
    );
    for (const position of order(round)) await runRound(runners[position] as Runner, options.signal, clock);
  }
  return runners;
}
