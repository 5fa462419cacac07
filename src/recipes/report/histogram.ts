import { axis, draw, ink } from "./chart.ts";
import type { Markup } from "./html.ts";

/** One distribution over equally wide bins. */
export interface Distribution {
  readonly name: string;
  readonly counts: readonly number[];
  readonly colour: string;
}

export interface HistogramOptions {
  /** Borders of the outermost bins. */
  readonly low: number;
  readonly high: number;
  /** Name of the x axis. */
  readonly x: string;
  /** Dashed lines across, as the ends of a range. */
  readonly marks?: readonly { readonly at: number; readonly name: string }[];
}

/** Logarithmic counts, so that tails show: they decide what a range clips. */
const height = (count: number): number => Math.log10(1 + count);

const short = (value: number): string => String(Number(value.toPrecision(2)));

/** Distributions over common bins as step lines; counts on a log scale. */
export function histogramChart(distributions: readonly Distribution[], title: string, options: HistogramOptions): Markup {
  const { low, high, x, marks = [] } = options;
  const width = (high - low) / Math.max(1, distributions[0]?.counts.length ?? 1);
  const [from, to] = [Math.min(low, ...marks.map(({ at }) => at)), Math.max(high, ...marks.map(({ at }) => at))];
  const margin = 0.02 * (to - from || 1);
  return draw(
    {
      grid: { left: 46, right: 16, top: distributions.length > 1 ? 30 : 16, bottom: 46 },
      legend: distributions.length > 1 ? { top: 0, textStyle: { color: ink } } : { show: false },
      xAxis: {
        type: "value",
        min: from - margin,
        max: to + margin,
        ...axis(x),
        nameGap: 26,
        splitLine: { show: false },
        axisLabel: { color: ink, formatter: short, showMinLabel: false, showMaxLabel: false },
      },
      yAxis: {
        type: "value",
        min: 0,
        ...axis("count"),
        nameGap: 32,
        minInterval: 1,
        axisLine: { onZero: false },
        axisLabel: { color: ink, formatter: (y: number) => (y >= 4 ? `1e${y}` : String(10 ** y)) },
      },
      series: distributions.map(({ name, counts, colour }, i) => ({
        name,
        type: "line" as const,
        step: "end" as const,
        showSymbol: false,
        data: [
          [low, 0],
          ...counts.map((count, bin) => [low + bin * width, height(count)]),
          [high, height(counts.at(-1) ?? 0)],
          [high, 0],
        ],
        lineStyle: { width: 1.5, color: colour },
        itemStyle: { color: colour },
        areaStyle: { color: colour, opacity: 0.18 },
        ...(i === 0 && marks.length > 0
          ? {
              markLine: {
                symbol: "none",
                silent: true,
                lineStyle: { color: "#dc2626", type: "dashed" as const },
                label: { show: false },
                data: marks.map(({ at, name: label }) => ({ xAxis: at, name: label })),
              },
            }
          : {}),
      })),
    },
    330,
    210,
    title,
  );
}
