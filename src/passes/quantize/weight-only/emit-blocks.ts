import { type Graph, type Node, Tensor, tensorOf, type Value } from "../../../ir/index.ts";
import { type BlockedWeight, blocksPerRow, middle, packRows } from "./blocks.ts";
import type { WeightUnit, WeightUse } from "./plan.ts";

/** The domain of onnxruntime's own operators. */
export const microsoft = "com.microsoft";

/**
 * The constants of one stored matrix, shared by its products and its table: B and a table's rows are the same bytes where rows fill
 * whole blocks.
 */
interface Constants {
  /** [rows, blocks, bytes of a block]: MatMulNBits' B. */
  readonly blocks: () => Value;
  /** [rows, bytes of a row]: GatherBlockQuantized's data. */
  readonly rows: () => Value;
  /** float32 [rows, blocks]. */
  readonly scales: Value;
  /** [rows, bytes]. */
  readonly zeroPoints: Value | undefined;
}

/** Replaces a matrix's products by MatMulNBits and its lookups by GatherBlockQuantized (onnxruntime contrib operators, version 1). */
export function emitBlocks(unit: WeightUnit, stored: BlockedWeight, accuracyLevel: number): void {
  const constants = addConstants(unit, stored);
  for (const use of unit.uses)
    if (use.kind === "product") replaceProduct(use, stored, constants, accuracyLevel);
    else replaceLookup(use, stored, constants);
}

function addConstants({ value, uses }: WeightUnit, stored: BlockedWeight): Constants {
  const graph = value.graph;
  const { rows, columns, bits, block } = stored;
  const blocks = blocksPerRow(columns, block);
  const name = (suffix: string): string => graph.freshName(`${value.name}_${suffix}`);
  const packed = (width: number): Tensor =>
    new Tensor(
      "uint8",
      [rows, Math.ceil((width * bits) / 8)],
      packRows(stored.codes, { rows, columns, width, bits, filler: middle(bits) }),
    );
  const flat = once(() => graph.addInitializer(name(`q${bits}`), packed(blocks * block)));
  const shape = [rows, blocks, (block * bits) / 8];
  const shared = uses.some(({ kind }) => kind === "table") || stored.scales === "float16";
  return {
    // onnxruntime packs a constant B together with its scales: where scales are cast, B must become constant in the same step
    blocks: once(() =>
      shared
        ? reshaped(graph, flat(), shape, name)
        : graph.addInitializer(name(`q${bits}`), packed(blocks * block).reshape(shape)),
    ),
    rows: columns === blocks * block ? flat : once(() => graph.addInitializer(name(`q${bits}`), packed(columns))),
    scales: addScales(graph, stored, [rows, blocks], name),
    zeroPoints: stored.asymmetric
      ? graph.addInitializer(
          name("zero_points"),
          new Tensor(
            "uint8",
            [rows, Math.ceil((blocks * bits) / 8)],
            packRows(stored.zeroPoints, { rows, columns: blocks, width: blocks, bits, filler: 0 }),
          ),
        )
      : undefined,
  };
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function reshaped(graph: Graph, flat: Value, shape: readonly number[], name: (suffix: string) => string): Value {
  const to = graph.addInitializer(name("block_shape"), tensorOf("int64", [shape.length], shape));
  const node = graph.node("Reshape", [flat, to], { outputs: [name("blocks")], ...atStart(graph) });
  node.output.type = { dtype: "uint8", shape };
  return node.output;
}

const atStart = (graph: Graph): { before?: Node } => (graph.firstNode ? { before: graph.firstNode } : {});

/** Scales as float32, cast from what is stored. */
export function addScales(
  graph: Graph,
  { scales, scales32 }: Pick<BlockedWeight, "scales" | "scales32">,
  shape: readonly number[],
  name: (suffix: string) => string,
): Value {
  const constant = graph.addInitializer(name("scales"), tensorOf(scales, shape, scales32));
  if (scales === "float32") return constant;
  const cast = graph.node("Cast", [constant], { attributes: { to: 1 }, outputs: [name("scales_float")], ...atStart(graph) });
  cast.output.type = { dtype: "float32", shape };
  return cast.output;
}

function replaceProduct(use: WeightUse, stored: BlockedWeight, constants: Constants, accuracyLevel: number): void {
  const { node, bias } = use;
  const input = node.inputs[use.inputPort];
  const graph = node.graph as Graph;
  const { rows, columns, bits, block } = stored;
  const vector = bias?.constant?.shape.length === 1 && bias.constant.shape[0] === rows ? bias : undefined;
  const product = graph.node(
    "MatMulNBits",
    [input, constants.blocks(), constants.scales, constants.zeroPoints, undefined, vector],
    {
      domain: microsoft,
      name: node.name,
      attributes: { K: columns, N: rows, bits, block_size: block, accuracy_level: accuracyLevel },
      before: node,
    },
  );
  product.output.type = node.output.type;
  const sum = bias && !vector ? graph.node("Add", [product.output, bias], { before: node }) : product;
  sum.output.type = node.output.type;
  replace(node, sum.output);
}

function replaceLookup({ node, inputPort }: WeightUse, { bits, block }: BlockedWeight, constants: Constants): void {
  const graph = node.graph as Graph;
  const lookup = graph.node(
    "GatherBlockQuantized",
    [constants.rows(), node.inputs[inputPort], constants.scales, constants.zeroPoints],
    {
      domain: microsoft,
      name: node.name,
      attributes: { bits, block_size: block, gather_axis: 0, quantize_axis: 1 },
      before: node,
    },
  );
  lookup.output.type = node.output.type;
  replace(node, lookup.output);
}

/** Readers of a node read `by` instead; the node, and a transposition that only it read, go. */
export function replace(node: Node, by: Value): void {
  const graph = node.graph as Graph;
  const producers = node.inputs.map((input) => input?.producer);
  graph.replaceAllUses(node.output, by);
  graph.remove(node);
  for (const producer of producers)
    if (producer?.graph === graph && producer.outputs.every((output) => output.uses.size === 0 && !output.isGraphOutput))
      graph.remove(producer);
}
