import { type DataType, Graph, Tensor, tensorOf, type Value } from "../ir/index.ts";
import { type Attributes, GraphBuilder } from "../ops/builder.ts";
import { seededNormal, seededRandom } from "../util/random.ts";

/** Convolution settings; padding defaults to "same" for stride 1. */
export interface ConvOptions {
  readonly kernel?: number | readonly [number, number];
  readonly stride?: number | readonly [number, number];
  readonly pad?: number | readonly [number, number, number, number];
  readonly group?: number;
  readonly bias?: boolean;
}

const pair = (x: number | readonly [number, number]): readonly [number, number] => (typeof x === "number" ? [x, x] : x);
export type Activation = "relu" | "relu6" | "hard-swish" | "none";

/**
 * Builds a trainable graph layer by layer with initial weights from a seed. Batches stay symbolic ("N"). Initialisation: convolutions by He
 * et al. (2015) with fan-out, dense layers by Glorot and Bengio (2010), embeddings and transformer matrices normal with deviation 0.02;
 * biases zero, normalization scales one.
 */
export class Net {
  readonly graph: Graph;
  readonly b: GraphBuilder;
  readonly #seed: number;

  constructor(name: string, seed: number) {
    this.graph = new Graph(name);
    this.b = new GraphBuilder(this.graph);
    this.#seed = seed;
  }

  input(name: string, shape: readonly number[], dtype: DataType = "float32"): Value {
    return this.graph.addInput(name, { dtype, shape: ["N", ...shape] });
  }

  /** Extents beside the batch. */
  shape(x: Value): readonly number[] {
    return (x.type?.shape ?? []).slice(1) as readonly number[];
  }

  channels = (x: Value): number => this.shape(x)[0] as number;

  /** Drawn when first read, from the seed and the name: asking for a model's size costs nothing. */
  normal(name: string, shape: readonly number[], deviation: number): Value {
    const size = shape.reduce((a, d) => a * d, 1);
    const seed = [...name].reduce((hash, c) => (Math.imul(hash, 31) + c.charCodeAt(0)) | 0, this.#seed * 0x9e3779b1);
    let drawn: Uint8Array | undefined;
    const draw = (): Uint8Array => {
      const normal = seededNormal(seededRandom(seed));
      const values = new Float32Array(size);
      for (let i = 0; i < size; i++) values[i] = deviation * normal();
      return new Uint8Array(values.buffer);
    };
    const source = (): Uint8Array => {
      drawn ??= draw();
      return drawn;
    };
    return this.graph.addInitializer(name, new Tensor("float32", shape, source));
  }

  filled(name: string, shape: readonly number[], value: number): Value {
    const size = shape.reduce((a, d) => a * d, 1);
    return this.graph.addInitializer(name, tensorOf("float32", shape, new Float32Array(size).fill(value)));
  }

  op = (type: string, inputs: readonly (Value | undefined)[], attributes: Attributes = {}): Value =>
    this.b.op(type, inputs, attributes);

  conv(name: string, x: Value, outputs: number, options: ConvOptions = {}): Value {
    const kernel = pair(options.kernel ?? 3);
    const strides = pair(options.stride ?? 1);
    const group = options.group ?? 1;
    const pad = options.pad ?? [...kernel, ...kernel].map((k) => Math.floor((k - 1) / 2));
    const inputs = this.channels(x) / group;
    const fanOut = ((outputs / group) * kernel[0] * kernel[1]) / 1;
    const weight = this.normal(`${name}.weight`, [outputs, inputs, ...kernel], Math.sqrt(2 / fanOut));
    const bias = options.bias ? this.filled(`${name}.bias`, [outputs], 0) : undefined;
    return this.op("Conv", [x, weight, bias], {
      strides: [...strides],
      pads: typeof pad === "number" ? [pad, pad, pad, pad] : [...pad],
      ...(group === 1 ? {} : { group }),
    });
  }

  batchNorm(name: string, x: Value, epsilon = 1e-5): Value {
    const c = [this.channels(x)];
    const [scale, shift] = [this.filled(`${name}.scale`, c, 1), this.filled(`${name}.shift`, c, 0)];
    const [mean, variance] = [this.filled(`${name}.mean`, c, 0), this.filled(`${name}.variance`, c, 1)];
    return this.op("BatchNormalization", [x, scale, shift, mean, variance], { epsilon, momentum: 0.9 });
  }

  activate(x: Value, activation: Activation): Value {
    if (activation === "none") return x;
    if (activation === "relu") return this.op("Relu", [x]);
    return activation === "relu6" ? this.op("Clip", [x, this.b.scalar(0), this.b.scalar(6)]) : this.op("HardSwish", [x]);
  }

  /** Convolution, batch normalization, activation. */
  convBlock(name: string, x: Value, outputs: number, options: ConvOptions & { readonly activation?: Activation } = {}): Value {
    const { activation = "relu", ...conv } = options;
    return this.activate(this.batchNorm(`${name}.norm`, this.conv(`${name}.conv`, x, outputs, conv)), activation);
  }

  dense(name: string, x: Value, outputs: number): Value {
    const inputs = this.channels(x);
    const weight = this.normal(`${name}.weight`, [inputs, outputs], Math.sqrt(2 / (inputs + outputs)));
    return this.op("Gemm", [x, weight, this.filled(`${name}.bias`, [outputs], 0)]);
  }

  maxPool = (x: Value, kernel: number, stride = kernel, pad = 0): Value =>
    this.op("MaxPool", [x], { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad] });

  /** [N, C, …] → [N, C]. */
  globalPool = (x: Value): Value => this.flatten(this.op("GlobalAveragePool", [x]));
  flatten = (x: Value): Value => this.op("Flatten", [x], { axis: 1 });
  dropout = (x: Value, ratio: number): Value => (ratio === 0 ? x : this.op("Dropout", [x, this.b.scalar(ratio)]));
  add = (a: Value, z: Value): Value => this.op("Add", [a, z]);
}
