import { allGraphs, type ExternalLocation, type Graph, type Model, type Tensor } from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import { type Chunk, encodeMessage, joinChunks } from "../../util/protobuf/index.ts";
import { entriesOf, importsOf } from "./entries.ts";
import { type ModelProto, modelProto } from "./protos.ts";
import { type Placement, writeFunction, writeGraph } from "./write-graph.ts";

export interface WriteOptions {
  /** Puts initializers from `threshold` bytes (default 1024) on into a file of this name beside the model. */
  readonly external?: { readonly location: string; readonly threshold?: number } | undefined;
}

/** A file as a list of chunks; weights among them are the model's own memory, or are fetched when written. */
export interface FileChunks {
  readonly chunks: readonly Chunk[];
  readonly byteLength: number;
}
export interface OnnxFile extends FileChunks {
  /** The file of external data to be written beside the model. */
  readonly external: (FileChunks & { readonly location: string }) | undefined;
}

/** Protobuf files end at 2 GiB; what is above this has its weights written to a file of their own. */
const maxEmbeddedBytes = 1.9e9;

/** The model as an ONNX file; its weights are referred to, not copied. */
export function writeOnnx(model: Model, { external }: WriteOptions = {}): OnnxFile {
  const plan = external && planExternal(model, external.location, external.threshold ?? 1024);
  const place: Placement = (tensor) => plan?.places.get(tensor);
  const main = encodeMessage(modelProto, modelToProto(model, place));
  if (main.byteLength > 0x7fffffff)
    fail("ONNX_TOO_LARGE", `The model needs ${main.byteLength} bytes, and an ONNX file cannot be larger than 2 GiB.`, {
      hint: "Write its weights as external data.",
    });
  return { ...main, external: plan && { location: plan.location, chunks: plan.chunks, byteLength: plan.byteLength } };
}

/** The model as one ONNX file in memory, all weights embedded; for models that fit there twice. */
export const encodeOnnx = (model: Model): Uint8Array => joinChunks(writeOnnx(model).chunks);

function modelToProto(model: Model, place: Placement): ModelProto {
  return {
    irVersion: model.irVersion,
    producerName: model.producerName || undefined,
    producerVersion: model.producerVersion || undefined,
    domain: model.domain || undefined,
    modelVersion: model.modelVersion || undefined,
    docString: model.docString || undefined,
    graph: writeGraph(model.graph, place),
    opsetImport: importsOf(model.opsets),
    metadataProps: entriesOf(model.metadata),
    functions: model.functions.map((fn) => writeFunction(fn, place)),
    unknown: model.unknownFields.byteLength > 0 ? model.unknownFields : undefined,
  };
}

interface ExternalPlan extends FileChunks {
  readonly location: string;
  readonly places: ReadonlyMap<Tensor, ExternalLocation>;
}

/** Offsets that a runtime can map into memory: pages for large tensors, cache lines for small ones. */
const alignment = (bytes: number): number => (bytes >= 1 << 20 ? 4096 : 64);

function planExternal(model: Model, location: string, threshold: number): ExternalPlan {
  const places = new Map<Tensor, ExternalLocation>();
  const chunks: Chunk[] = [];
  let offset = 0;
  for (const tensor of initializerTensors(model.graph)) {
    const length = tensor.byteLength;
    if (places.has(tensor) || tensor.dtype === "string" || length < threshold) continue;
    const padding = -offset & (alignment(length) - 1);
    if (padding > 0) chunks.push(new Uint8Array(padding));
    offset += padding;
    places.set(tensor, { location, offset, length });
    chunks.push(tensor);
    offset += length;
  }
  return { location, places, chunks, byteLength: offset };
}

function* initializerTensors(graph: Graph): Generator<Tensor> {
  for (const inner of allGraphs(graph)) for (const { constant } of inner.initializers) if (constant) yield constant;
}

/** Whether a model's weights should be written beside it: they were external, or do not fit into one file. */
export function wantsExternalData(model: Model): boolean {
  let total = 0;
  for (const tensor of initializerTensors(model.graph)) {
    if (tensor.external) return true;
    total += tensor.byteLength;
  }
  return total > maxEmbeddedBytes;
}
