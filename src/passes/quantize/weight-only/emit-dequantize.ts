import { type DataType, type Graph, type Node, Tensor, type Value } from "../../../ir/index.ts";
import { type BlockedWeight, blocksPerRow, packRows } from "./blocks.ts";
import { addScales, replace } from "./emit-blocks.ts";
import type { ConvolutionWeight, WeightUnit, WeightUse } from "./plan.ts";

/** Standard types: signed around zero without zero points, unsigned with them; 4-bit types hold two entries a byte, low half first. */
const storageType = ({ bits, asymmetric }: BlockedWeight): DataType =>
  bits === 4 ? (asymmetric ? "uint4" : "int4") : asymmetric ? "uint8" : "int8";

/** Codes [rows, columns] as a tensor of a standard type, turned so that rows lie along `rowAxis`. */
function typedCodes(stored: BlockedWeight, codes: Uint8Array, rows: number, columns: number, rowAxis: 0 | 1): Tensor {
  const flip = stored.asymmetric ? 0 : 2 ** (stored.bits - 1); // offset binary to two's complement
  const turned = new Uint8Array(codes.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      turned[rowAxis === 0 ? row * columns + column : column * rows + row] = (codes[row * columns + column] as number) ^ flip;
  const flat = { rows: 1, columns: turned.length, width: turned.length, bits: stored.bits, filler: 0 };
  return new Tensor(storageType(stored), rowAxis === 0 ? [rows, columns] : [columns, rows], packRows(turned, flat));
}

function turnedScales({ rows, columns, block, scales32 }: BlockedWeight, rowAxis: 0 | 1): Float32Array {
  const blocks = blocksPerRow(columns, block);
  if (rowAxis === 0) return scales32;
  return scales32.map((_, i) => scales32[(i % rows) * blocks + Math.floor(i / rows)] as number);
}

/** Puts a DequantizeLinear with block_size (ONNX operator set 21) before a matrix's products; its tables gather 8-bit rows first. */
export function emitDequantize(unit: WeightUnit, stored: BlockedWeight): void {
  const products = unit.uses.filter(({ kind }) => kind === "product");
  const tables = unit.uses.filter(({ kind }) => kind === "table");
  const { rows, columns, block } = stored;
  const blocks = blocksPerRow(columns, block);
  const graph = unit.value.graph;
  const name = (suffix: string): string => graph.freshName(`${unit.value.name}_${suffix}`);
  const { rowAxis } = unit;
  const data = graph.addInitializer(name(`q${stored.bits}`), typedCodes(stored, stored.codes, rows, columns, rowAxis));
  const shape = rowAxis === 0 ? [rows, blocks] : [blocks, rows];
  const scales = addScales(graph, { scales: stored.scales, scales32: turnedScales(stored, rowAxis) }, shape, name);
  const zeroPoints = stored.asymmetric
    ? graph.addInitializer(name("zero_points"), typedCodes(stored, stored.zeroPoints, rows, blocks, rowAxis))
    : undefined;
  const attributes = { axis: 1 - rowAxis, block_size: Math.min(block, columns) };
  if (products.length > 0) {
    const dequantize = graph.node("DequantizeLinear", [data, scales, zeroPoints], {
      name: name("DequantizeLinear"),
      outputs: [name("dequantized")],
      attributes,
      before: firstOf(products),
    });
    dequantize.output.type = unit.value.type;
    for (const { reader, port } of products) reader.setInput(port, dequantize.output);
  }
  for (const use of tables) gatherFirst(use, [data, scales, zeroPoints], attributes.block_size);
}

/** The reader that runs first: readers of one matrix may lie anywhere. */
function firstOf(products: readonly WeightUse[]): Node {
  const readers = new Set(products.map(({ reader }) => reader));
  for (const node of (products[0] as WeightUse).reader.graph?.nodes ?? []) if (readers.has(node)) return node;
  return (products[0] as WeightUse).reader;
}

/** Rows, scales and zero points are gathered by the same indices; only what was read is dequantized. */
function gatherFirst({ node, inputPort }: WeightUse, constants: readonly (Value | undefined)[], block: number): void {
  const graph = node.graph as Graph;
  const gathered = constants.map((constant) => {
    if (!constant) return undefined;
    const rows = graph.node("Gather", [constant, node.inputs[inputPort]], { attributes: { axis: 0 }, before: node });
    const width = constant.type?.shape?.[1];
    const shape = node.output.type?.shape;
    if (constant.type)
      rows.output.type = { dtype: constant.type.dtype, shape: shape && width !== undefined ? shape.with(-1, width) : undefined };
    return rows.output;
  });
  const dequantize = graph.node("DequantizeLinear", gathered, {
    name: node.name,
    attributes: { axis: -1, block_size: block },
    before: node,
  });
  dequantize.output.type = node.output.type;
  replace(node, dequantize.output);
}

/** How a convolution's weights [O, I, ...kernel] are cut: one scale per output channel, or blocks along I at each kernel position. */
export interface ConvolutionLayout {
  readonly rows: number;
  readonly columns: number;
  readonly block: number;
  /** Kernel positions that are rows of their own: 1 per channel, all of them in blocks. */
  readonly positions: number;
}

export function convolutionLayout({ tensor }: ConvolutionWeight, bits: number, block: number): ConvolutionLayout {
  const [outputs, inputs, ...kernel] = tensor.shape as [number, number, ...number[]];
  const positions = kernel.reduce((a, b) => a * b, 1);
  return bits === 4 && inputs >= block
    ? { rows: outputs * positions, columns: inputs, block, positions }
    : { rows: outputs, columns: inputs * positions, block: inputs * positions, positions: 1 };
}

/** Swaps the last two axes of [outer, a, b]. */
export function swapInner<T extends Float32Array | Uint8Array>(values: T, a: number, b: number): T {
  return values.map((_, i) => {
    const outer = Math.floor(i / (a * b));
    const rest = i % (a * b);
    return values[outer * a * b + (rest % a) * b + Math.floor(rest / a)] as number;
  }) as T;
}

/** Puts a DequantizeLinear before a convolution's weights. */
export function emitConvolution(
  { node, port, value, tensor }: ConvolutionWeight,
  stored: BlockedWeight,
  { positions }: ConvolutionLayout,
): void {
  const graph = value.graph;
  const name = (suffix: string): string => graph.freshName(`${value.name}_${suffix}`);
  const blocks = blocksPerRow(stored.columns, stored.block);
  const outputs = stored.rows / positions;
  const shape = positions * blocks === 1 ? [outputs] : [outputs, blocks, ...tensor.shape.slice(2)];
  const codes = swapInner(stored.codes, positions, stored.columns);
  const scales32 = swapInner(stored.scales32, positions, blocks);
  const zeros = swapInner(stored.zeroPoints, positions, blocks);
  const data = graph.addInitializer(name(`q${stored.bits}`), typedCodes(stored, codes, 1, codes.length, 0).reshape(tensor.shape));
  const zeroPoints = stored.asymmetric
    ? graph.addInitializer(name("zero_points"), typedCodes(stored, zeros, 1, zeros.length, 0).reshape(shape))
    : undefined;
  const dequantize = graph.node(
    "DequantizeLinear",
    [data, addScales(graph, { scales: stored.scales, scales32 }, shape, name), zeroPoints],
    {
      name: name("DequantizeLinear"),
      outputs: [name("dequantized")],
      attributes: shape.length === 1 ? { axis: 0 } : { axis: 1, block_size: stored.block },
      before: node,
    },
  );
  dequantize.output.type = value.type ?? { dtype: "float32", shape: tensor.shape };
  node.setInput(port, dequantize.output);
}
