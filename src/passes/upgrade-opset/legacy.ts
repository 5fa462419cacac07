import { dataTypes, type Graph, int64Tensor, type Node } from "../../ir/index.ts";
import { rule, takeAttribute, type UpgradeContext, type UpgradeRule } from "./rule.ts";

/** Operator sets before 7: explicit broadcasting, in-place hints, types by name. */

const drop =
  (...names: string[]): UpgradeRule["apply"] =>
  (node) => {
    for (const name of names) takeAttribute(node, name);
    return undefined;
  };

/** `to` was a name such as "FLOAT". */
function castName(node: Node): string | undefined {
  const to = node.attributes.get("to");
  if (to?.type !== "string") return undefined;
  const names: Readonly<Record<string, keyof typeof dataTypes>> = { float: "float32", double: "float64" };
  const name = String(to.value).toLowerCase();
  const dtype = names[name] ?? (name as keyof typeof dataTypes);
  if (!(dtype in dataTypes)) return `it casts to the unknown type "${name}"`;
  node.setAttribute("to", { type: "int", value: dataTypes[dtype].code });
  return undefined;
}

/** B was aligned with A's axes from `axis` on; now both align at the end, so B gets axes of 1 behind. */
function explicitBroadcast(node: Node, context: UpgradeContext): string | undefined {
  const axis = takeAttribute(node, "axis");
  const broadcast = takeAttribute(node, "broadcast");
  const [a, b] = node.inputs;
  if (broadcast?.type !== "int" || Number(broadcast.value) === 0 || axis?.type !== "int" || !a || !b) return undefined;
  const [rank, inner] = [context.typeOf(a)?.shape?.length, context.typeOf(b)?.shape?.length];
  if (rank === undefined || inner === undefined) return "it broadcasts along an axis, and the ranks are not known";
  const first = Number(axis.value) < 0 ? Number(axis.value) + rank : Number(axis.value);
  const behind = rank - first - inner;
  if (behind <= 0) return undefined;
  // 0 keeps an extent, so the shape need not be known
  const shape = [...Array<number>(inner).fill(0), ...Array<number>(behind).fill(1)];
  const graph = node.graph as Graph;
  const reshaped = graph.node("Reshape", [b, context.constant(node, int64Tensor(shape), "shape")], {
    before: node,
    outputs: [graph.freshName(`${b.name}_aligned`)],
  });
  node.setInput(1, reshaped.output);
  return undefined;
}

function concatAxis(node: Node): string | undefined {
  if (!node.attributes.has("axis")) node.setAttribute("axis", { type: "int", value: 1 });
  return undefined;
}

function padName(node: Node): string | undefined {
  const pads = takeAttribute(node, "paddings");
  if (pads) node.setAttribute("pads", pads);
  return undefined;
}

const inPlace =
  "Abs Add And BatchNormalization Ceil Clip Div Dropout Elu Exp Floor HardSigmoid InstanceNormalization LeakyRelu Log Max Mean Min Mul Neg PRelu Reciprocal Relu Reshape Selu Sigmoid Sqrt Sub Sum Tanh";
const broadcasting = ["Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "PRelu", "Sub", "Xor"];

export const legacy: readonly UpgradeRule[] = [
  rule("Pad", 2, padName),
  rule("Concat", 4, concatAxis),
  rule("Cast", 6, castName),
  rule("Tile", 6, () => "its tiles and axis were two inputs, which opset 6 replaced"),
  rule(inPlace.split(" "), 6, drop("consumed_inputs")),
  rule(broadcasting, 7, explicitBroadcast),
  rule("Gemm", 7, drop("broadcast")),
  rule(["BatchNormalization", "Dropout"], 7, drop("is_test")),
  rule(["LSTM", "GRU", "RNN"], 7, drop("output_sequence")),
  rule("Upsample", 7, () => "its scales were two attributes of an experimental version"),
];
