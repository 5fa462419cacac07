import type { FileFigures } from "./ptq-draws.ts";

interface Subject {
  readonly model: string;
  /** Which choice of calibration samples, from 0. */
  readonly draw: number;
  readonly tool: string;
  readonly variant: string;
  /** Calibration samples. */
  readonly calibration: number;
}

/** One quantized file, or why there is none. */
export type PeerRow = Subject &
  (
    | (Omit<FileFigures, "result"> & {
        readonly seconds: number;
        readonly peakRssBytes: number | null;
        readonly error?: undefined;
      })
    | { readonly error: string }
  );
type Measured = Extract<PeerRow, { readonly bytes: number }>;

interface Spread {
  readonly mean: number;
  /** Standard deviation over the draws (n − 1); null for one draw. */
  readonly sd: number | null;
}

/** One variant over all draws. */
export interface PeerSummary {
  readonly model: string;
  readonly tool: string;
  readonly variant: string;
  /** Draws that gave a file that runs. */
  readonly draws: number;
  readonly error?: string;
  readonly change?: Spread;
  readonly agreement?: Spread;
  readonly kl?: Spread;
  readonly sqnr?: Spread;
  readonly bytes?: number;
  readonly seconds?: number;
  readonly peakRssBytes?: number;
}

function spreadOf(values: readonly (number | null)[]): Spread | undefined {
  const numbers = values.filter((value) => value !== null);
  if (numbers.length === 0) return undefined;
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const squares = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  const short = (x: number): number => Number(x.toPrecision(5));
  return { mean: short(mean), sd: numbers.length < 2 ? null : short(Math.sqrt(squares / (numbers.length - 1))) };
}

const measured = (row: PeerRow): row is Measured => row.error === undefined;

/** Mean and spread over the draws of every variant of every model, in the rows' order. */
export function summarize(rows: readonly PeerRow[]): PeerSummary[] {
  const groups = new Map<string, PeerRow[]>();
  for (const row of rows) {
    const key = `${row.model} ${row.tool} ${row.variant}`;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()].map((group) => {
    const { model, tool, variant } = group[0] as PeerRow;
    const runs = group.filter(measured);
    const error = group.find((row) => row.error !== undefined)?.error;
    return {
      model,
      tool,
      variant,
      draws: runs.length,
      ...(error === undefined ? {} : { error }),
      ...(runs.length === 0 ? {} : summaryOf(runs)),
    };
  });
}

function summaryOf(runs: readonly Measured[]): Omit<PeerSummary, "model" | "tool" | "variant" | "draws"> {
  const agreement = spreadOf(runs.map((row) => row.agreement));
  const kl = spreadOf(runs.map((row) => row.kl));
  const change = spreadOf(runs.map((row) => row.change));
  const sqnr = spreadOf(runs.map((row) => row.sqnr));
  return {
    ...(change ? { change } : {}),
    ...(agreement ? { agreement } : {}),
    ...(kl ? { kl } : {}),
    ...(sqnr ? { sqnr } : {}),
    bytes: Math.max(...runs.map(({ bytes }) => bytes)),
    seconds: Math.max(...runs.map(({ seconds }) => seconds)),
    peakRssBytes: Math.max(...runs.map(({ peakRssBytes }) => peakRssBytes ?? 0)),
  };
}
