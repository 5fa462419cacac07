import type { Feeds } from "../../measure/latency.ts";
import type { QuantizationRow } from "../../passes/quantize/row.ts";
import type { ActivationStatistics } from "../../passes/quantize/statistics.ts";
import type { Executor } from "../../runtime/executor.ts";
import type { RunOptions } from "../../util/progress.ts";

/** What every step of post-training quantization works with. */
export interface PtqContext {
  readonly row: QuantizationRow;
  /** Of the simplified model. */
  readonly statistics: ReadonlyMap<string, ActivationStatistics>;
  /** Unlabelled calibration inputs, as the model is really fed; a bounded number of them. */
  readonly feeds: readonly Feeds[];
  /** Others, on which variants are judged; the same ones where there are too few. */
  readonly judgeFeeds: readonly Feeds[];
  /** Whether the outputs are class scores, compared by KL divergence; else by relative squared error. */
  readonly classScores: boolean;
  readonly executor: Executor;
  readonly threads: number;
  readonly options: RunOptions;
}
