/**
 * Post-training INT8 of the peers (onnxruntime's quantizer, NNCF, AIMET-ONNX) on every model and several draws of calibration samples,
 * evaluated on samples that no draw holds.
 *
 *   python3.11 -m venv .venv-ptq && .venv-ptq/bin/pip install -r bench/peers/requirements-ptq.txt
 *   python3.11 -m venv .venv-aimet && .venv-aimet/bin/pip install -r bench/peers/requirements-aimet.txt
 *   EDGEWRIGHT_DATA=… npx tsx bench/quantize/ptq-peers.ts [name…] [--python .venv-ptq/bin/python] [--aimet .venv-aimet/bin/python]
 *
 * Writes bench/quantize/ptq-peers.json. Quantized files stay in the folder EDGEWRIGHT_PTQ (default: edgewright-ptq among the temporary
 * files), so that a second run only evaluates.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { PreparedSample } from "../../src/ir/index.ts";
import { thisDevice } from "../../src/measure/device.ts";
import type { Setup } from "../../src/recipes/setup.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { writeNpz } from "./npz.ts";
import { drawFolder, draws, evaluateFile, type FileFigures, modelFeeds, ptqModels } from "./ptq-draws.ts";
import { type PeerRow, summarize } from "./ptq-rows.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const args = process.argv.slice(2);
function option(name: string, preset: string): string {
  const at = args.indexOf(name);
  return at >= 0 ? (args.splice(at, 2)[1] as string) : resolve(preset);
}
const python = option("--python", ".venv-ptq/bin/python");
const aimetPython = option("--aimet", ".venv-aimet/bin/python");
const names = args.length > 0 ? args : ptqModels;

interface Tool {
  readonly name: string;
  readonly python: string;
  methods(model: string): readonly string[];
}

/** Models for which NNCF is told that they are transformers. */
const transformers = new Set(["gpt-nano-sort", "sst2"]);

const tools: readonly Tool[] = [
  {
    name: "onnxruntime",
    python,
    methods: () => ["minmax", "entropy", "percentile", "minmax-s8s8", "minmax-linear", "minmax-average"],
  },
  {
    name: "nncf",
    python,
    methods: (model) =>
      transformers.has(model)
        ? ["default", "full-bias", "default-transformer", "full-bias-transformer"]
        : ["default", "full-bias", "mixed", "mixed-full-bias"],
  },
  { name: "aimet", python: aimetPython, methods: () => ["cle", "cle-enhanced", "enhanced"] },
];

/** What a peer's script prints. */
interface PeerOutput {
  readonly version: string;
  readonly results: readonly {
    readonly method: string;
    readonly path?: string;
    readonly seconds?: number;
    readonly peakRssBytes?: number;
    readonly error?: string;
  }[];
}

/** Runs a peer on a draw, or reads what it made of the same inputs before. */
function quantized(tool: Tool, model: string, modelPath: string, folder: string, digest: string): PeerOutput {
  const known = join(folder, `${tool.name}.json`);
  const methods = tool.methods(model);
  const key = `${digest} ${methods.join(" ")}`;
  if (existsSync(known)) {
    const { key: before, output } = JSON.parse(readFileSync(known, "utf8")) as { key: string; output: PeerOutput };
    if (before === key) return output;
  }
  const script = resolve(here, `../peers/quantize_${tool.name}.py`);
  const text = execFileSync(tool.python, [script, modelPath, join(folder, "inputs.npz"), folder, ...methods], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const output = JSON.parse(text.trim().split("\n").at(-1) as string) as PeerOutput;
  writeFileSync(known, JSON.stringify({ key, output }));
  return output;
}

interface Drawn {
  readonly model: string;
  readonly draw: number;
  readonly setup: Setup;
  readonly calibration: readonly PreparedSample[];
  readonly evaluation: readonly PreparedSample[];
}

const versions: Record<string, string> = {};

async function measureDraw({ model, draw, setup, calibration, evaluation }: Drawn): Promise<PeerRow[]> {
  const folder = drawFolder(model, draw);
  mkdirSync(folder, { recursive: true });
  const inputs = join(folder, "inputs.npz");
  const feeds = await modelFeeds(setup, calibration);
  writeNpz(
    inputs,
    feeds.map((one, i) => ({ id: String(i), origin: "", feeds: one, target: undefined, geometry: {} })),
  );
  const digest = createHash("sha256").update(readFileSync(inputs)).update(setup.digest).digest("hex");
  const rows: PeerRow[] = [];
  for (const tool of tools) {
    const output = quantized(tool, model, setup.modelPath, folder, digest);
    versions[tool.name] = output.version;
    for (const { method, path, seconds, peakRssBytes, error } of output.results) {
      const common = { model, draw, tool: tool.name, variant: method, calibration: calibration.length };
      if (path === undefined) rows.push({ ...common, error: error ?? "failed" });
      else
        rows.push({
          ...common,
          ...figures(await evaluateFile(setup, path, evaluation)),
          seconds: round(seconds ?? Number.NaN),
          peakRssBytes: peakRssBytes ?? null,
        });
    }
  }
  return rows;
}

const round = (x: number): number => Number(x.toPrecision(6));

/** The JSON part of the figures, at six digits. */
function figures({ result: _, ...own }: FileFigures): Omit<FileFigures, "result"> {
  const short = (value: unknown): unknown =>
    typeof value === "number" ? round(value) : Array.isArray(value) ? value.map(short) : value;
  return Object.fromEntries(Object.entries(own).map(([key, value]) => [key, short(value)])) as Omit<FileFigures, "result">;
}

interface Float {
  readonly model: string;
  readonly metric: string;
  readonly unit: string;
  readonly value: number;
  readonly bytes: number;
  readonly samples: number;
}

interface Document {
  readonly versions: Readonly<Record<string, string>>;
  readonly float: readonly Float[];
  readonly rows: readonly PeerRow[];
}

const path = join(here, "ptq-peers.json");
const known: Document = existsSync(path)
  ? (JSON.parse(readFileSync(path, "utf8")) as Document)
  : { versions: {}, float: [], rows: [] };
let { rows, float } = known;
Object.assign(versions, known.versions);

const byModel = <T extends { readonly model: string }>(items: readonly T[]): T[] =>
  ptqModels.flatMap((model) => items.filter((item) => item.model === model));

/** JSON with one line an item of the long lists, so that changes can be read. */
const linesOf = (document: object): string => {
  const entries = Object.entries(document).map(([key, value]) => {
    const items = Array.isArray(value) ? value.map((item) => `\n  ${JSON.stringify(item)}`) : undefined;
    return ` ${JSON.stringify(key)}: ${items ? `[${items.join()}\n ]` : JSON.stringify(value)}`;
  });
  return `{\n${entries.join(",\n")}\n}`;
};

function write(): void {
  const document = {
    device: thisDevice().summary,
    threads: 1,
    versions: { ...versions, node: process.versions.node, "onnxruntime-node": ortNode.version },
    at: new Date().toISOString(),
    float,
    summary: summarize(rows),
    rows,
  };
  writeFileSync(`${path}.part`, `${linesOf(document)}\n`);
  renameSync(`${path}.part`, path);
}

for (const model of names) {
  const started = performance.now();
  const { setup, evaluation, calibration } = await draws(model);
  const { metric, unit, value, bytes, samples } = await evaluateFile(setup, setup.modelPath, evaluation);
  const own: PeerRow[] = [];
  for (const [draw, chosen] of calibration.entries())
    own.push(...(await measureDraw({ model, draw, setup, evaluation, calibration: chosen })));
  rows = byModel([...rows.filter((row) => row.model !== model), ...own]);
  float = byModel([...float.filter((row) => row.model !== model), { model, metric, unit, value: round(value), bytes, samples }]);
  write();
  console.log(`${model} ${((performance.now() - started) / 1000).toFixed(0)} s`);
  for (const row of summarize(own)) console.log("  ", JSON.stringify(row));
}
