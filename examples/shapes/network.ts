// The classifier as an ONNX graph: three blocks of Conv, BatchNormalization, Relu and MaxPool, then global pools and a linear readout.
import { encodeOnnx } from "edgewright/formats";
import { float32Tensor, Graph, int64Tensor, Model, type Value } from "edgewright/ir";
import { ortNode } from "edgewright/runtime";
import { imageSize } from "./draw.ts";
import type { Readout } from "./ridge.ts";

export interface Block {
  /** [filters, channels, side, side]. */
  readonly shape: readonly [number, number, number, number];
  readonly filters: Float32Array;
  /** Of the convolution's outputs over the training pictures. */
  readonly mean: Float32Array;
  readonly variance: Float32Array;
  /** Added after normalisation: the more negative, the fewer places a filter answers to. */
  readonly shift: number;
}

function addConvolution(graph: Graph, input: Value, { shape, filters }: Pick<Block, "shape" | "filters">, name: string): Value {
  const weight = graph.addInitializer(`${name}.weight`, float32Tensor(shape, filters));
  const pad = (shape[2] - 1) / 2;
  const attributes = { kernel_shape: [shape[2], shape[3]], pads: [pad, pad, pad, pad] };
  return graph.node("Conv", [input, weight], { name, attributes, outputs: [`${name}.out`] }).output;
}

function addBlock(graph: Graph, input: Value, block: Block, name: string): Value {
  const count = block.shape[0];
  const vector = (part: string, values: ArrayLike<number>) =>
    graph.addInitializer(`${name}.norm.${part}`, float32Tensor([count], values));
  const convolved = addConvolution(graph, input, block, `${name}.conv`);
  const norm = [
    vector("scale", new Float32Array(count).fill(1)),
    vector("bias", new Float32Array(count).fill(block.shift)),
    vector("mean", block.mean),
    vector("variance", block.variance),
  ];
  const normalized = graph.node("BatchNormalization", [convolved, ...norm], { name: `${name}.norm` }).output;
  const active = graph.node("Relu", [normalized], { name: `${name}.relu` }).output;
  return graph.node("MaxPool", [active], { name: `${name}.pool`, attributes: { kernel_shape: [2, 2], strides: [2, 2] } }).output;
}

function startGraph(blocks: readonly Block[]): { graph: Graph; last: Value } {
  const graph = new Graph("shapes");
  let last = graph.addInput("image", { dtype: "float32", shape: ["batch", 3, imageSize, imageSize] });
  blocks.forEach((block, i) => {
    last = addBlock(graph, last, block, `block${i + 1}`);
  });
  return { graph, last };
}

function addFeatures(graph: Graph, maps: Value): Value {
  const average = graph.node("GlobalAveragePool", [maps], { name: "head.average" }).output;
  const strongest = graph.node("GlobalMaxPool", [maps], { name: "head.max" }).output;
  const both = graph.node("Concat", [average, strongest], { name: "head.concat", attributes: { axis: 1 } }).output;
  return graph.node("Flatten", [both], { name: "head.flatten", attributes: { axis: 1 } }).output;
}

function finish(graph: Graph, output: Value, shape: readonly (number | string)[]): Model {
  output.type = { dtype: "float32", shape };
  graph.addOutput(output);
  return new Model({ graph, irVersion: 10, opsets: new Map([["", 21]]) });
}

/** Feature maps after the blocks. */
export function mapsModel(blocks: readonly Block[]): Model {
  const { graph, last } = startGraph(blocks);
  return finish(graph, last, ["batch", "channels", "height", "width"]);
}

/** Per filter, the mean of its answers and of their squares over one batch: what normalisation needs. */
export function momentsModel(blocks: readonly Block[], next: Pick<Block, "shape" | "filters">): Model {
  const { graph, last } = startGraph(blocks);
  const convolved = addConvolution(graph, last, next, "next");
  const axes = graph.addInitializer("axes", int64Tensor([0, 2, 3]));
  const squares = graph.node("Mul", [convolved, convolved]).output;
  const reduce = (value: Value) => graph.node("ReduceMean", [value, axes], { attributes: { keepdims: 0 } }).output;
  const both = graph.node("Concat", [reduce(convolved), reduce(squares)], { attributes: { axis: 0 } }).output;
  return finish(graph, both, [2 * next.shape[0]]);
}

export function featuresModel(blocks: readonly Block[]): Model {
  const { graph, last } = startGraph(blocks);
  return finish(graph, addFeatures(graph, last), ["batch", "features"]);
}

export function classifier(blocks: readonly Block[], readout: Readout, classNames: readonly string[]): Model {
  const { graph, last } = startGraph(blocks);
  const features = addFeatures(graph, last);
  const classes = classNames.length;
  const weight = graph.addInitializer("head.weight", float32Tensor([classes, readout.weights.length / classes], readout.weights));
  const bias = graph.addInitializer("head.bias", float32Tensor([classes], readout.bias));
  const logits = graph.node("Gemm", [features, weight, bias], {
    name: "head.readout",
    attributes: { transB: 1 },
    outputs: ["logits"],
  }).output;
  const model = finish(graph, logits, ["batch", classes]);
  model.producerName = "edgewright examples/shapes";
  model.metadata.set("classes", classNames.join(" "));
  return model;
}

/** Runs a model on pictures (RGB bytes each) in batches; hands each batch's output to `take`. */
export async function runOn(
  model: Model,
  pictures: readonly Uint8Array[],
  take: (output: Float32Array, firstPicture: number) => void,
): Promise<void> {
  const session = await ortNode.load(encodeOnnx(model), { threads: 2 });
  const output = session.outputNames[0] as string;
  const batch = 50;
  for (let first = 0; first < pictures.length; first += batch) {
    const some = pictures.slice(first, first + batch);
    const results = await session.run({ image: float32Tensor([some.length, 3, imageSize, imageSize], toInput(some)) });
    const bytes = (results[output] as { bytes(): Uint8Array }).bytes();
    take(new Float32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / 4), first);
  }
  await session.release();
}

/** Interleaved RGB bytes to planes of numbers in -1..1, the preset "symmetric". */
export function toInput(pictures: readonly Uint8Array[]): Float32Array {
  const area = imageSize * imageSize;
  const input = new Float32Array(pictures.length * 3 * area);
  pictures.forEach((picture, n) => {
    for (let i = 0; i < area; i++)
      for (let channel = 0; channel < 3; channel++)
        input[(n * 3 + channel) * area + i] = (picture[i * 3 + channel] as number) / 127.5 - 1;
  });
  return input;
}
