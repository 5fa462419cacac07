import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import type { Model } from "../ir/index.ts";
import { atWorkingOpset } from "../measure/working-opset.ts";
import { modelCost } from "../ops/index.ts";
import { inferShapes } from "../ops/infer.ts";
import type { Note } from "../passes/define.ts";
import { findUnfusedPairs, type UnfusedPair } from "../passes/quantize/conversions.ts";
import {
  accountNodes,
  type CoverageReport,
  coverageStates,
  type NodeCoverage,
  summarizeCoverage,
} from "../passes/quantize/coverage.ts";
import { readQdqGraph } from "../passes/quantize/legality/qdq-graph.ts";
import type { QuantizationRow } from "../passes/quantize/row.ts";
import { loadModel, saveModel } from "../runtime/model-file.ts";
import { ortNode } from "../runtime/ort-node.ts";
import { ortIntegerOps } from "../targets/onnxruntime/integer-ops.ts";
import type { RunOptions } from "../util/progress.ts";

export const nodeCoverageSchema = z.object({
  node: z.string(),
  opType: z.string(),
  state: z.enum(coverageStates),
  reason: z.string(),
  compute: z.boolean(),
  macs: z.number(),
});

export const unfusedPairSchema = z.object({
  kind: z.enum(["unfused", "between", "edge"]),
  node: z.string(),
  opType: z.string(),
  nodes: z.array(z.string()),
  dequantized: z.array(z.string()),
  constants: z.array(z.string()),
  quantized: z.array(z.string()),
  elements: z.number(),
});

export const coverageSchema = z.object({
  summary: z.object({
    compute: z.number(),
    integer: z.number(),
    fused: z.number(),
    table: z.number(),
    float: z.number(),
    macShare: z.number().nullable(),
  }),
  nodes: z.array(nodeCoverageSchema),
  /** Null where the target's runtime cannot be asked here. */
  unfused: z.array(unfusedPairSchema).nullable(),
});

export type Coverage = z.infer<typeof coverageSchema>;

/** The coverage part of a report on static quantization, with warnings: what the runtime makes of the file counts, where it can be asked. */
export async function measureCoverage(
  simplified: Model,
  quantized: Model,
  notes: readonly Note[],
  row: QuantizationRow,
  options: RunOptions = {},
): Promise<{ readonly coverage: Coverage; readonly warnings: readonly string[] }> {
  const { nodes, missing } = coverageOf(simplified, quantized, notes, row);
  const pairs = canAskRuntime(row) ? await unfusedPairs(quantized, row, options) : null;
  const real = withRuntime(nodes, pairs ?? []);
  const { macShare, ...counts } = summarizeCoverage(real);
  const warnings = [
    ...missing.map(
      ({ node, opType, problem }) => `Nothing is known of what became of ${opType} "${node}": ${problem}. Please report it.`,
    ),
    ...(pairs ?? []).filter(({ kind }) => kind === "unfused").map(describeUnfused),
  ];
  return {
    coverage: { summary: { ...counts, macShare: macShare ?? null }, nodes: real, unfused: pairs?.map(plain) ?? null },
    warnings,
  };
}

const plain = (pair: UnfusedPair): z.infer<typeof unfusedPairSchema> => ({
  ...pair,
  nodes: [...pair.nodes],
  dequantized: [...pair.dequantized],
  constants: [...pair.constants],
  quantized: [...pair.quantized],
});

/** "53 of 60 compute nodes in integers (99.2 % of MACs), 4 fused, 3 float". */
export function coverageLine({ compute, integer, fused, table, float, macShare }: Coverage["summary"]): string {
  const macs = macShare === null ? "" : ` (${percent(macShare)} of MACs)`;
  const tables = table > 0 ? `, ${table} integer table${table > 1 ? "s" : ""}` : "";
  return `${integer} of ${compute} compute nodes in integers${macs}, ${fused} fused${tables}, ${float} float`;
}

/** Only a whole is 100 %. */
const percent = (share: number): string => `${share === 1 ? "100" : Math.min(99.9, 100 * share).toFixed(1)} %`;

/** What became of every node of the simplified model in the statically quantized one; changes neither. */
export function coverageOf(simplified: Model, quantized: Model, notes: readonly Note[], row: QuantizationRow): CoverageReport {
  const [before, after] = [simplified.clone(), quantized.clone()];
  inferShapes(before);
  inferShapes(after, { invalid: "warn" });
  return accountNodes(before, after, notes, { row, cost: modelCost(before) });
}

/** Whether onnxruntime's CPU provider, which can be asked here, executes the target's integer kernels. */
export const canAskRuntime = (row: QuantizationRow): boolean => row.ops === ortIntegerOps;

/**
 * Loads a model in QDQ form with onnxruntime, reads the graph that its optimizations made, and names the float ops around which quantize
 * and dequantize nodes are left: each is a conversion at every run. The level is "extended": the highest at which values keep their names;
 * the one above it only changes memory layouts.
 */
export async function unfusedPairs(
  source: Model | string,
  row: QuantizationRow,
  options: RunOptions = {},
): Promise<UnfusedPair[]> {
  const folder = await mkdtemp(join(tmpdir(), "edgewright-coverage-"));
  try {
    const path = typeof source === "string" ? source : join(folder, "model.onnx");
    if (typeof source !== "string") await saveModel(source, path, { signal: options.signal });
    const optimizedPath = join(folder, "optimized.onnx");
    const session = await ortNode.load(path, {
      optimization: "extended",
      optimizedPath,
      // in a file of their own, weights may pass the 2 GB that one protobuf message holds
      config: { "session.optimized_model_external_initializers_file_name": "optimized.data" },
    });
    await session.release();
    const given = typeof source === "string" ? await loadModel(source, options) : source;
    const [optimized, own] = await Promise.all(
      [loadModel(optimizedPath, options), given].map(async (m) => atWorkingOpset(await m)),
    );
    return findUnfusedPairs(readQdqGraph(optimized as Model, row), readQdqGraph(own as Model, row));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One sentence: which float op, what is converted, and that it costs. */
export function describeUnfused({ node, opType, kind, dequantized, constants, quantized, elements }: UnfusedPair): string {
  const names = (values: readonly string[]): string => values.map((value) => `"${value}"`).join(", ");
  const parts = [
    dequantized.length + constants.length > 0 ? `${names([...dequantized, ...constants])} dequantized before it` : "",
    quantized.length > 0 ? `${names(quantized)} quantized after it` : "",
  ].filter((part) => part !== "");
  const why = kind === "unfused" ? "although its inputs and result are quantized" : "between integer nodes";
  return `onnxruntime computes ${opType} "${node}" in float ${why}: ${parts.join(", ")}, ${elements} numbers converted at every run.`;
}

/** Nodes that were meant for integers and that the runtime computes in float all the same are float. */
export function withRuntime(nodes: readonly NodeCoverage[], pairs: readonly UnfusedPair[]): NodeCoverage[] {
  const unfused = new Map(
    pairs.filter(({ kind }) => kind === "unfused").flatMap((pair) => pair.nodes.map((node) => [node, pair])),
  );
  return nodes.map((entry) =>
    unfused.has(entry.node) && entry.state !== "table"
      ? { ...entry, state: "float", reason: "onnxruntime has no integer kernel for this pattern" }
      : entry,
  );
}
