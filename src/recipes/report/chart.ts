import * as echarts from "echarts";
import { dropOf, ratioOf, sizeOf } from "../budget.ts";
import type { Candidate, Manifest } from "../manifest.ts";
import { megabytes, unitText } from "../summary.ts";
import { escapeHtml, Markup } from "./html.ts";

type Option = Parameters<ReturnType<typeof echarts.init>["setOption"]>[0];

export const ink = "#334155";
const colours: Readonly<Record<string, string>> = {
  baseline: "#64748b",
  chosen: "#0f766e",
  pareto: "#2563eb",
  rejected: "#cbd5e1",
};

/** Draws a chart as SVG text, on the server: the page needs no script. */
export function draw(option: Option, width: number, height: number, label: string): Markup {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: "system-ui, sans-serif", color: ink }, ...option });
    const svg = chart.renderToSVGString();
    return new Markup(svg.replace("<svg ", `<svg role="img" aria-label="${escapeHtml(label)}" `));
  } finally {
    chart.dispose();
  }
}

export const axis = (name: string) => ({
  name,
  nameLocation: "middle" as const,
  nameGap: 32,
  nameTextStyle: { color: ink },
  axisLabel: { color: ink },
  splitLine: { lineStyle: { color: "#e2e8f0" } },
});

/** Speed against loss; the area of a point is its file's size. */
export function paretoChart(manifest: Manifest): Markup {
  const shown = manifest.candidates.filter(({ file, outcome }) => file && outcome !== "failed");
  const largest = Math.max(...shown.map(sizeOf));
  const named = new Set([...manifest.pareto, manifest.chosen, "baseline"]);
  const point = (candidate: Candidate) => ({
    name: candidate.title,
    value: [1 / ratioOf(candidate), -dropOf(candidate)],
    symbolSize: 12 + 34 * Math.sqrt(sizeOf(candidate) / largest),
    itemStyle: { color: colours[candidate.outcome] ?? "#cbd5e1", opacity: 0.85, borderColor: "#fff", borderWidth: 1 },
    label: {
      show: named.has(candidate.name),
      formatter: `${candidate.title}\n${megabytes(sizeOf(candidate))}`,
      position: "top" as const,
      color: ink,
      fontSize: 11,
      align: "center" as const,
    },
  });
  const unit = unitText(manifest.data.metricUnit).trim();
  const limit = manifest.budget.maxDrop;
  return draw(
    {
      grid: { left: 70, right: 70, top: 50, bottom: 60 },
      xAxis: { type: "value", scale: true, ...axis("speed against the original (x)") },
      yAxis: { type: "value", scale: true, ...axis(`change of ${manifest.data.metric}${unit ? ` (${unit})` : ""}`), nameGap: 45 },
      series: [
        {
          type: "scatter",
          data: shown.map(point),
          labelLayout: { moveOverlap: "shiftY", hideOverlap: true },
          ...(limit === null
            ? {}
            : {
                markLine: {
                  symbol: "none",
                  silent: true,
                  lineStyle: { color: "#dc2626", type: "dashed" },
                  label: { formatter: "budget", color: "#dc2626" },
                  data: [{ yAxis: -limit }],
                },
              }),
        },
      ],
    },
    860,
    420,
    "Speed against accuracy of all candidates",
  );
}

const shorten = (text: string): string => (text.length > 28 ? `…${text.slice(-27)}` : text);

/** Bars of one figure per node, largest (or worst) on top. */
export function barChart(
  rows: readonly { readonly name: string; readonly value: number }[],
  title: string,
  colour: string,
): Markup {
  const reversed = [...rows].reverse();
  return draw(
    {
      grid: { left: 200, right: 60, top: 10, bottom: 50 },
      xAxis: { type: "value", ...axis(title) },
      yAxis: {
        type: "category",
        data: reversed.map(({ name }) => shorten(name)),
        axisLabel: { color: ink, fontSize: 11 },
        axisTick: { show: false },
      },
      series: [
        {
          type: "bar",
          data: reversed.map(({ value }) => value),
          itemStyle: { color: colour },
          barMaxWidth: 14,
          label: {
            show: true,
            position: "right",
            color: ink,
            fontSize: 10,
            formatter: (bar: { value?: unknown }) => Number(bar.value).toPrecision(3),
          },
        },
      ],
    },
    420,
    70 + 22 * rows.length,
    title,
  );
}

/** One line of a line chart; points are [x, y]. */
export interface Line {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
  readonly colour: string;
  readonly thin?: boolean;
}

/** Lines over a common x axis. */
export function lineChart(
  lines: readonly Line[],
  title: string,
  names: { readonly x: string; readonly y: string; readonly linear?: boolean },
): Markup {
  const values = lines.flatMap(({ points }) => points.map(([, y]) => y));
  // a loss that falls by a decade is flat on a linear axis
  const wide = !names.linear && Math.min(...values) > 0 && Math.max(...values) > 10 * Math.min(...values);
  return draw(
    {
      grid: { left: 70, right: 30, top: 36, bottom: 56 },
      legend: lines.length > 1 ? { top: 0, textStyle: { color: ink } } : { show: false },
      xAxis: { type: "value", min: "dataMin", max: "dataMax", ...axis(names.x), splitLine: { show: false } },
      yAxis: wide
        ? {
            type: "log",
            min: "dataMin",
            ...axis(`${names.y} (log scale)`),
            nameGap: 50,
            axisLabel: { color: ink, formatter: (y: number) => String(Number(y.toPrecision(2))) },
          }
        : { type: "value", scale: true, ...axis(names.y), nameGap: 50 },
      series: lines.map(({ name, points, colour, thin }) => ({
        name,
        type: "line" as const,
        data: points.map((point) => [...point]),
        showSymbol: points.length < 30,
        symbolSize: 6,
        lineStyle: { width: thin ? 1 : 2, color: colour, opacity: thin ? 0.45 : 1 },
        itemStyle: { color: colour },
      })),
    },
    860,
    300,
    title,
  );
}
