import { describe, expect, test } from "vitest";
import { candidate, measured } from "../../../test/suites/candidate.ts";
import type { Manifest } from "../manifest.ts";
import { renderReport } from "./page.ts";

const hostile = `<script>alert("x")</script>`;

const manifest: Manifest = {
  schema: "edgewright/manifest@1",
  tool: { name: "edgewright", version: "0" },
  createdAt: "2026-01-01T00:00:00Z",
  runKey: "key",
  status: "done",
  command: `edgewright optimize ${hostile}`,
  model: {
    path: `dir/${hostile}.onnx`,
    bytes: 4e6,
    digest: "d",
    opset: 21,
    nodes: 3,
    parameters: 10,
    macs: 1e6,
    peakActivationBytes: 10,
    inputs: [{ name: hostile, dtype: "float32", shape: ["N", 3, 8, 8] }],
    outputs: [{ name: "y", dtype: "float32", shape: ["N", 10] }],
  },
  target: { name: "ort-x64", summary: "a runtime", executor: "ort-node", measuredHere: true, threads: 1 },
  data: {
    path: "data",
    summary: hostile,
    task: "classification",
    metric: "top-1",
    metricUnit: "%",
    preprocess: "unit",
    calibration: 1,
    selection: 2,
    final: 3,
    heldOut: true,
    seed: 0,
  },
  budget: { maxDrop: 1, maxSizeBytes: null, maxLatencyMs: null, timeBudgetMs: null },
  device: "a machine",
  versions: { node: "20" },
  candidates: [
    candidate("baseline", 1, 0, 4e6, { outcome: "baseline" }),
    candidate("int8", 0.5, -0.5, 1e6, {
      outcome: "chosen",
      notes: [{ pass: "quantize/static", subject: hostile, kind: "skipped", message: "why" }],
    }),
  ],
  chosen: "int8",
  pareto: ["baseline", "int8"],
  verdict: { budgetMet: true, recommendation: "Ship it.", reasons: [] },
  final: { baseline: [measured("top-1", 80, "%")], chosen: [measured("top-1", 79.5, "%"), measured("top-1 change", -0.5, "%")] },
  memory: [],
  energy: [],
  quantization: {
    recipe: hostile,
    measure: "KL (nats)",
    divergence: 0.01,
    trials: [{ name: hostile, divergence: 0.01, samples: 8, seconds: 1, kept: true }],
    estimators: { "activation mse": 3 },
    saturating: [{ node: hostile, share: 0.01, noise: 0.1, remedy: "uint8" }],
  },
  coverage: { line: hostile, unfused: [hostile] },
  withoutVnni: { metric: "top-1", with: 80, without: 79, samples: 10 },
  sensitivity: [
    {
      node: hostile,
      opType: "Conv",
      sqnr: 20,
      divergence: 0.01,
      share: 1,
      weightsOnly: 0.004,
      activationsOnly: 0.006,
      samples: 8,
    },
  ],
  layers: [{ node: hostile, opType: "Conv", output: "[1]", macs: 1, parameters: 1, baselineMs: 0.1 }],
  warnings: [hostile],
  files: [],
  wallSeconds: 1,
};

describe("report.html", () => {
  const page = renderReport(manifest);

  test("text from models and shells cannot become markup", () => {
    expect(page).not.toContain("<script");
    expect(page).toContain("&lt;script&gt;");
  });

  test("asks nothing of any server", () => {
    expect(page.match(/(src|href)="(?!data:)/g)).toBeNull();
    expect(page).not.toMatch(/url\(\s*['"]?http/);
  });

  test("has every section", () => {
    for (const heading of [
      "Before and after",
      "Everything that was tried",
      "Where the time goes",
      "Nodes that stay float",
      "Use the file",
      "How it was measured",
    ])
      expect(page).toContain(heading);
    expect(page.match(/<svg /g)?.length).toBe(3);
  });

  test("shows how to run the file in Node, browser and Python, with the model's input", () => {
    expect(page).toContain("onnxruntime-node");
    expect(page).toContain("onnxruntime-web/wasm");
    expect(page).toContain("import onnxruntime as ort");
    expect(page).toContain("[1, 3, 8, 8]");
  });
});
