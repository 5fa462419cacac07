import { thisDevice } from "../../src/measure/device.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";

export interface Row {
  readonly model: string;
  readonly variant: string;
  readonly bytes: number;
  readonly metric: string;
  readonly value: number;
  readonly change: number;
  readonly changeInterval: readonly number[] | null;
  readonly agreement: number | null;
  readonly sqnr: number | null;
  readonly p50Ms: number;
  readonly ratio: number;
  readonly ratioInterval: readonly number[] | null;
  readonly seconds: number | null;
  readonly peakRssBytes: number | null;
  /** SQNR on calibration samples: what "ours" is chosen by. */
  readonly sqnrCalibration: number | null;
  /** On the chosen variant: its metric minus that of the peer's best setting, paired, with the 95 % interval. */
  readonly againstPeer?: number;
  readonly againstPeerInterval?: readonly number[] | null;
  readonly samples: number;
  readonly calibration: number;
}

const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
const fixed = (x: number | null, digits: number): string => (x === null ? "" : x.toFixed(digits));

/**
 * The variant that is put beside the peer: closest to FP32 on the calibration samples (no labels, no test samples) among those within
 * 5 % of the fastest of either tool.
 */
export function chosenOf(rows: readonly Row[]): Row | undefined {
  const ours = rows.filter(({ variant }) => variant.startsWith("edgewright"));
  const peers = rows.filter(({ variant }) => variant.startsWith("onnxruntime"));
  const limit = 1.05 * Math.min(...(peers.length > 0 ? peers : ours).map(({ ratio }) => ratio));
  const fast = ours.filter(({ ratio }) => ratio <= limit);
  return [...(fast.length > 0 ? fast : ours)].sort((a, b) => (b.sqnrCalibration ?? 0) - (a.sqnrCalibration ?? 0))[0];
}

/** The most accurate of a tool's settings, in hindsight: what the peer is given, like for like. */
const mostAccurate = (rows: readonly Row[], tool: string): Row | undefined =>
  rows.filter(({ variant }) => variant.startsWith(tool)).sort((a, b) => b.value - a.value)[0];

/** The peer's most accurate setting. */
export const bestPeerOf = (rows: readonly Row[]): Row | undefined => mostAccurate(rows, "onnxruntime");

function tableOf(rows: readonly Row[]): string {
  const chosen = chosenOf(rows);
  return [
    line(["variant", "MB", rows[0]?.metric ?? "", "change", "agreement %", "SQNR dB", "p50 ms", "time ratio to FP32"]),
    line(["---", "--:", "--:", "--:", "--:", "--:", "--:", "--:"]),
    ...rows.map((row) =>
      line([
        row === chosen ? `**${row.variant}**` : row.variant,
        fixed(row.bytes / 1e6, 2),
        fixed(row.value, 2),
        `${row.change >= 0 ? "+" : ""}${row.change.toFixed(2)}${row.changeInterval ? ` [${row.changeInterval.map((x) => x.toFixed(2)).join(", ")}]` : ""}`,
        fixed(row.agreement, 2),
        fixed(row.sqnr, 2),
        fixed(row.p50Ms, 3),
        `${row.ratio.toFixed(3)}${row.ratioInterval ? ` [${row.ratioInterval.map((x) => x.toFixed(3)).join(", ")}]` : ""}`,
      ]),
    ),
  ].join("\n");
}

function verdictOf(rows: readonly Row[]): string {
  const ours = chosenOf(rows);
  const peers = rows.filter(({ variant }) => variant.startsWith("onnxruntime"));
  const best = bestPeerOf(rows);
  if (!ours) return "";
  const pays = ours.ratio < 0.99 ? "" : " INT8 does not pay here: the tool recommends FP32.";
  if (!best) return `Chosen: ${ours.variant}. onnxruntime's quantizer made no file that loads.${pays}`;
  const fastest = Math.min(...peers.map(({ ratio }) => ratio));
  const paired =
    ours.againstPeer === undefined
      ? ""
      : `, difference ${ours.againstPeer.toFixed(2)}${ours.againstPeerInterval ? ` [${ours.againstPeerInterval.map((x) => x.toFixed(2)).join(", ")}]` : ""}`;
  const hindsight = mostAccurate(rows, "edgewright");
  const likeForLike = hindsight
    ? ` Best of each tool's settings by test accuracy: ${hindsight.value.toFixed(2)} (${hindsight.variant}) against ${best.value.toFixed(2)}.`
    : "";
  return `Chosen: ${ours.variant}. ${ours.metric} ${ours.value.toFixed(2)} against ${best.value.toFixed(2)} of the best onnxruntime setting (${best.variant})${paired}; time ${(ours.ratio / fastest).toFixed(3)} of its fastest.${likeForLike}${pays}`;
}

export function report(rows: readonly Row[], order: readonly string[]) {
  const device = thisDevice();
  const conditions = {
    device: device.summary,
    versions: { node: process.versions.node, "onnxruntime-node": ortNode.version, onnxruntime: "1.30.0 (Python, quantizer)" },
    at: new Date().toISOString(),
  };
  const tables = new Map<string, string>();
  const parts: string[] = [];
  for (const model of order) {
    const own = rows.filter((row) => row.model === model);
    if (own.length === 0) continue;
    tables.set(model, `${tableOf(own)}\n\n${verdictOf(own)}`);
    parts.push(
      `## ${model}\n\n${own[0]?.calibration} calibration samples, ${own[0]?.samples} other samples for accuracy.\n\n${tables.get(model)}\n`,
    );
  }
  const markdown = `# Static INT8: edgewright beside onnxruntime's quantizer

\`npx tsx bench/quantize/run.ts\`, ${conditions.at.slice(0, 10)}. ${device.summary}; node ${process.versions.node}, onnxruntime-node ${ortNode.version}, onnxruntime 1.30.0 (Python) for the peer.
Peer settings: QDQ, per channel, uint8 activations, int8 weights, after its own preprocessing step. One thread, batch 1; all variants of a model are timed
interleaved in one process (20 s), ratios with 95 % intervals. The bold variant is the one chosen without labels: closest to FP32 on
calibration samples among those within 5 % of the peer's fastest.

${parts.join("\n")}`;
  return { conditions, tables, markdown };
}
