import { createHash } from "node:crypto";
import { encodeOnnx } from "../formats/index.ts";
import { allNodes, canonicalDim, type Dim, type Model, type Node, type Shape, type Value } from "../ir/index.ts";
import {
  activationMemory,
  type CostReport,
  inferShapes,
  modelCost,
  type NodeCost,
  type ShapeReport,
  staticInputShapes,
  staticShapes,
} from "../ops/index.ts";
import { runPass } from "../passes/manager.ts";
import { upgradeOpset } from "../passes/upgrade-opset/index.ts";
import { fileBytes, fileDigest, loadModel } from "../runtime/model-file.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import type { Inspection, InspectLayer } from "./inspect-schema.ts";
import { inspectWarnings } from "./inspect-warnings.ts";
import { checkWeights } from "./inspect-weights.ts";

export interface InspectOptions extends RunOptions {
  /** Shapes of inputs; extents that stay free count as 1 in costs and memory. */
  readonly inputShapes?: Readonly<Record<string, readonly Dim[]>>;
}

/**
 * Says what a model is and what a run of it costs, without running it. Reads the weights once (for NaN and the like); the model is
 * not changed. Throws EdgewrightError for files that cannot be read and for shapes that do not fit the inputs.
 */
export async function inspectModel(source: string | Model, options: InspectOptions = {}): Promise<Inspection> {
  const { inputShapes = {}, signal } = options;
  const model = typeof source === "string" ? await loadModel(source, { signal }) : source;
  const file = typeof source === "string" ? await fileFacts(source, model) : memoryFacts(model);
  const { upgraded, notUpgraded } = await toWorkingOpset(model);
  const symbolic = inferShapes(upgraded, { inputShapes, invalid: "warn", write: false });
  const fixed = staticShapes(upgraded, inputShapes);
  const cost = modelCost(upgraded, fixed);
  const memory = activationMemory(upgraded, fixed);
  const weights = checkWeights(model, signal);
  return {
    model: { ...file, ...headerOf(model) },
    inputs: upgraded.graph.inputs.filter((value) => !value.constant).map((value) => port(value, symbolic)),
    outputs: upgraded.graph.outputs.map((value) => port(value, symbolic)),
    nodes: [...allNodes(model.graph)].length,
    parameters: cost.total.parameters,
    macs: cost.total.macs,
    flops: cost.total.flops,
    bytesMoved: cost.total.bytes,
    peakActivationBytes: memory.peakBytes,
    peakActivationNode: memory.at ? nameOf(memory.at) : null,
    costShapes: copyShapes(staticInputShapes(upgraded, inputShapes)),
    opTypes: opTypesOf(model),
    layers: layersOf(model, upgraded, fixed, cost),
    warnings: inspectWarnings({ model, shapes: symbolic, upgraded, cost, weights, notUpgraded }),
  };
}

/** Records describe the working opset, so costs are taken from an upgraded copy; names of values stay. */
async function toWorkingOpset(model: Model): Promise<{ upgraded: Model; notUpgraded: string | undefined }> {
  const upgraded = model.clone();
  try {
    await runPass(upgradeOpset, upgraded, {}, () => Promise.reject(new Error("internal: an upgrade evaluates nothing")));
    return { upgraded, notUpgraded: undefined };
  } catch (error) {
    if (!(error instanceof EdgewrightError)) throw error;
    return { upgraded: model.clone(), notUpgraded: error.message };
  }
}

type FileFacts = Pick<Inspection["model"], "path" | "bytes" | "digest">;

async function fileFacts(path: string, model: Model): Promise<FileFacts> {
  return { path, bytes: (await fileBytes(path)) + externalBytes(model), digest: await fileDigest(path) };
}

function externalBytes(model: Model): number {
  let bytes = 0;
  for (const { constant } of model.graph.initializers) bytes += constant?.external?.length ?? 0;
  return bytes;
}

function memoryFacts(model: Model): FileFacts {
  const bytes = encodeOnnx(model);
  return { path: null, bytes: bytes.byteLength, digest: createHash("sha256").update(bytes).digest("hex") };
}

const headerOf = (model: Model) => ({
  opset: model.opset,
  opsets: Object.fromEntries([...model.opsets].map(([domain, version]) => [domain || "ai.onnx", version])),
  irVersion: model.irVersion,
  producer: [model.producerName, model.producerVersion].filter(Boolean).join(" "),
});

const copyShape = (shape: Shape | undefined): Dim[] | null => (shape ? shape.map(canonicalDim) : null);
const copyShapes = (shapes: Readonly<Record<string, Shape>>): Record<string, Dim[]> =>
  Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, [...shape]]));

function port(value: Value, shapes: ShapeReport): Inspection["inputs"][number] {
  const type = shapes.info.get(value);
  const kind = type ? "tensor" : (value.foreignType?.kind ?? "unknown");
  return { name: value.name, kind, dtype: type?.dtype ?? null, shape: copyShape(type?.shape) };
}

const nameOf = (node: Node): string => node.name || node.outputs.find((value) => value.name)?.name || "";
const opName = (node: Node): string => (node.domain ? `${node.domain}.${node.opType}` : node.opType);

function opTypesOf(model: Model): Record<string, number> {
  const counts = new Map<string, number>();
  for (const node of allNodes(model.graph)) counts.set(opName(node), (counts.get(opName(node)) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)));
}

/** The model's own nodes; what they cost is looked up by the names of their outputs, which an upgrade keeps. */
function layersOf(model: Model, upgraded: Model, shapes: ShapeReport, cost: CostReport): InspectLayer[] {
  const costs = new Map<string, NodeCost>();
  for (const node of upgraded.graph.nodes)
    for (const value of node.outputs) if (value.name) costs.set(value.name, cost.nodes.get(node) ?? none);
  const shapeOf = new Map([...shapes.info].map(([value, info]) => [value.name, copyShape(info.shape)]));
  const share = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);
  return [...model.graph.nodes].map((node) => {
    const own = node.outputs.map((value) => costs.get(value.name)).find((found) => found) ?? none;
    return {
      name: nameOf(node),
      opType: opName(node),
      inputShapes: node.inputs.map((value) => (value && shapeOf.get(value.name)) ?? null),
      outputShapes: node.outputs.map((value) => shapeOf.get(value.name) ?? null),
      ...own,
      macsShare: share(own.macs, cost.total.macs),
      parametersShare: share(own.parameters, cost.total.parameters),
    };
  });
}

const none: NodeCost = { macs: 0, flops: 0, bytes: 0, parameters: 0 };
