import type { PreparedSample } from "../../ir/index.ts";
import type { Feeds } from "../../measure/latency.ts";
import type { QuantizationRow } from "../../passes/quantize/row.ts";
import type { ActivationStatistics } from "../../passes/quantize/statistics.ts";
import type { Executor } from "../../runtime/executor.ts";
import type { RunOptions } from "../../util/progress.ts";
import type { Setup } from "../setup.ts";
import { distanceOf, type OutputDistance } from "./distance.ts";

/** What every step of post-training quantization works with. */
export interface PtqContext {
  readonly row: QuantizationRow;
  /** Of the simplified model. */
  readonly statistics: ReadonlyMap<string, ActivationStatistics>;
  /** Unlabelled calibration inputs, as the model is really fed; a bounded number of them. */
  readonly feeds: readonly Feeds[];
  /** Others, on which variants are judged; the same ones where there are too few. */
  readonly judgeFeeds: readonly Feeds[];
  /** All inputs where there are few: variants that learn next to nothing from their inputs are compared on these. */
  readonly compareFeeds?: readonly Feeds[];
  /** How far outputs are from the float model's. */
  readonly distance: OutputDistance;
  readonly executor: Executor;
  readonly threads: number;
  readonly options: RunOptions;
}

/** Nothing is timed during a search, so it may use what the machine has. */
export const searchThreads = 2;

/** Bytes of inputs that are kept in memory, however many samples there are. */
const feedBytes = 256 * 2 ** 20;
/** Share of the inputs that things are made from; the others judge. */
const madeFrom = 0.6;
/** With fewer inputs than this all of them do both. */
const fewest = 8;
/** With fewer than this that judge, the others judge variants that learn next to nothing from them. */
const fewJudges = 13;

export interface ContextRequest {
  readonly setup: Pick<Setup, "task" | "executor" | "threads" | "target">;
  readonly statistics: ReadonlyMap<string, ActivationStatistics>;
  readonly feeds: readonly Feeds[];
  /** Where the feeds come from, for post-processing that wants to know how an image was scaled. */
  readonly samples?: readonly PreparedSample[];
  readonly options: RunOptions;
}

export function contextOf({ setup, statistics, feeds, samples, options }: ContextRequest): PtqContext {
  const bytesOfOne = Object.values(feeds[0] ?? {}).reduce((sum, tensor) => sum + 4 * tensor.size, 0);
  const kept = feeds.slice(0, Math.max(fewest, Math.floor(feedBytes / Math.max(1, bytesOfOne))));
  const made = Math.ceil(madeFrom * kept.length);
  const few = kept.length < fewest;
  const judges = few ? kept : kept.slice(made);
  return {
    row: searchedRow(setup.target),
    statistics,
    feeds: few ? kept : kept.slice(0, made),
    judgeFeeds: judges,
    ...(judges.length < fewJudges ? { compareFeeds: kept } : {}),
    distance: distanceOf(setup.task, samples),
    executor: setup.executor,
    threads: setup.threads,
    options,
  };
}

/** Where sums may saturate, the layers that do are found and changed; the others keep all 8 bits. */
const searchedRow = ({ quantization: row, saturates }: Setup["target"]): QuantizationRow =>
  saturates ? { ...row, weight: { ...row.weight, reduceRange: false } } : row;
