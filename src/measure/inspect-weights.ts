import { type Graph, isFloat, type Model, type Tensor, typedArray, type Value } from "../ir/index.ts";
import { isParameter } from "../ops/index.ts";

export interface WeightFindings {
  readonly notANumber: readonly string[];
  readonly infinite: readonly string[];
  readonly allZero: readonly string[];
}

/** Looks at every initializer of a model and its functions, one tensor at a time, so that external weights need not fit memory. */
export function checkWeights(model: Model, signal?: AbortSignal): WeightFindings {
  const findings = { notANumber: [] as string[], infinite: [] as string[], allZero: [] as string[] };
  for (const value of initializersOf(model.graph)) {
    signal?.throwIfAborted();
    const tensor = value.constant;
    if (!tensor || tensor.size === 0) continue;
    const found = isFloat(tensor.dtype) ? scan(tensor) : undefined;
    if (found?.notANumber) findings.notANumber.push(value.name);
    if (found?.infinite) findings.infinite.push(value.name);
    // Zero biases are common; a matrix or kernel of nothing but zeros makes its layer useless.
    if (found?.zero && isParameter(tensor) && tensor.shape.length > 1) findings.allZero.push(value.name);
  }
  return findings;
}

function* initializersOf(graph: Graph): Generator<Value> {
  yield* graph.initializers;
  for (const node of graph.nodes) for (const [, inner] of node.subgraphs()) yield* initializersOf(inner);
}

interface Scan {
  readonly notANumber: boolean;
  readonly infinite: boolean;
  readonly zero: boolean;
}

function scan(tensor: Tensor): Scan {
  if (tensor.dtype === "float16") return scanBits(typedArray(tensor) as Uint16Array, 0x7c00);
  if (tensor.dtype === "bfloat16") return scanBits(typedArray(tensor) as Uint16Array, 0x7f80);
  return scanNumbers(typedArray(tensor) as Float32Array | Float64Array);
}

function scanNumbers(data: Float32Array | Float64Array): Scan {
  let zero = true;
  let [notANumber, infinite] = [false, false];
  for (let i = 0; i < data.length; i++) {
    const x = data[i] as number;
    if (x !== 0) zero = false;
    // x − x is 0 for every finite number.
    if (x - x !== 0) {
      if (Number.isNaN(x)) notANumber = true;
      else infinite = true;
    }
  }
  return { notANumber, infinite, zero };
}

/** 16-bit floats by their bits: all exponent bits set is infinity without a fraction, else no number. */
function scanBits(data: Uint16Array, exponent: number): Scan {
  let zero = true;
  let [notANumber, infinite] = [false, false];
  for (let i = 0; i < data.length; i++) {
    const magnitude = (data[i] as number) & 0x7fff;
    if (magnitude !== 0) zero = false;
    if (magnitude > exponent) notANumber = true;
    else if (magnitude === exponent) infinite = true;
  }
  return { notANumber, infinite, zero };
}
