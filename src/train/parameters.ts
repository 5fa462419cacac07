import { type Graph, type Node, toFloat32, type Value } from "../ir/index.ts";
import { lookupOp, portIndex } from "../ops/index.ts";
import { EdgewrightError } from "../util/errors.ts";

/** What training changes: patterns are names with "*" for any run of characters. `frozen` wins over `trainable`. */
export interface ParameterSelection {
  /** Default: every initializer that looks learned. An empty list: none, transforms bring what is learned. */
  readonly trainable?: readonly string[] | undefined;
  readonly frozen?: readonly string[] | undefined;
}

const escaped = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&");
const expression = (pattern: string): RegExp => new RegExp(`^${pattern.split("*").map(escaped).join(".*")}$`);

export const matchesAny = (patterns: readonly string[], name: string): boolean =>
  patterns.some((pattern) => expression(pattern).test(name));

/** Constants this large are masks ("minus infinity" for attention), not weights. */
const largestWeight = 1e4;

/** A shift, scale or table that some element-wise op reads beside a computed value: learned unless it looks like a mask or a setting. */
function looksLearned(value: Value, node: Node, index: number): boolean {
  const tensor = value.constant;
  if (!tensor || tensor.size < 2) return false;
  // mean and standard deviation of built-in preprocessing: the first thing that happens to a graph input
  if (node.inputs.some((other, i) => i !== index && other?.isGraphInput && !other.constant)) return false;
  return toFloat32(tensor).every((x) => Math.abs(x) < largestWeight);
}

function readsAsParameter(node: Node, index: number, opsets: ReadonlyMap<string, number>): boolean {
  const def = lookupOp(node, opsets);
  if (!def) return false;
  if (def.learned.some((port) => portIndex(def.inputs, port) === index)) return true;
  const value = node.inputs[index] as Value;
  return def.channels === "elementwise" && node.inputs.length === 2 && looksLearned(value, node, index);
}

/**
 * The float32 initializers of the main graph that training may change, in file order: those read by a port that holds learned values by
 * convention (`learned` on the op record) and element-wise constants that do not look like masks, then narrowed by the patterns.
 *
 * @throws TRAIN_PATTERN when a pattern matches nothing, TRAIN_NOTHING when no parameter is left.
 */
export function selectParameters(
  graph: Graph,
  opsets: ReadonlyMap<string, number>,
  selection: ParameterSelection,
): readonly Value[] {
  const candidates = [...graph.initializers].filter((value) => value.constant?.dtype === "float32" && value.uses.size > 0);
  for (const pattern of [...(selection.trainable ?? []), ...(selection.frozen ?? [])])
    if (!candidates.some(({ name }) => matchesAny([pattern], name)))
      throw new EdgewrightError("TRAIN_PATTERN", `No float32 initializer of the model has a name like "${pattern}".`, {
        subject: pattern,
        hint: `Names look like: ${candidates
          .slice(0, 4)
          .map(({ name }) => name)
          .join(", ")}.`,
      });
  const chosen = candidates.filter((value) =>
    selection.trainable
      ? matchesAny(selection.trainable, value.name)
      : [...value.uses].some(({ node, index }) => node.graph === graph && readsAsParameter(node, index, opsets)),
  );
  if (selection.trainable?.length === 0) return [];
  const left = chosen.filter(({ name }) => !matchesAny(selection.frozen ?? [], name));
  if (left.length === 0)
    throw new EdgewrightError("TRAIN_NOTHING", "The model has no float32 weights left to train.", {
      hint: "Loosen `frozen`, or name initializers in `trainable`; quantized and float16 weights cannot be trained.",
    });
  return left;
}

/**
 * Exporters store equal vectors once (all biases that start at zero, all scales that start at one). Training must move them apart:
 * every reader of a shared vector gets its own copy. Shared matrices are weight tying on purpose and stay shared.
 */
export function separateSharedVectors(graph: Graph): void {
  for (const value of [...graph.initializers]) {
    const tensor = value.constant;
    if (!tensor || tensor.dtype !== "float32" || tensor.shape.length > 1 || tensor.size < 2 || value.uses.size < 2) continue;
    for (const { node, index } of [...value.uses].slice(1))
      node.setInput(index, (node.graph as Graph).root.addInitializer(graph.freshName(value.name), tensor));
  }
}
