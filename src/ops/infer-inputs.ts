import { canonicalDim, type Dim, formatShape, type Graph, substitute, type TensorType } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";

export interface BoundInputs {
  /** One per graph input; undefined where nothing is declared or given. */
  readonly types: readonly (TensorType | undefined)[];
  /** Symbols that the given shapes fix. */
  readonly bindings: Readonly<Record<string, Dim>>;
  readonly overridden: boolean;
}

/** Puts given shapes in the place of declared ones; throws for names that are no inputs and for shapes of another rank. */
export function bindInputs(graph: Graph, given: Readonly<Record<string, readonly Dim[]>>): BoundInputs {
  const bindings: Record<string, Dim> = Object.create(null);
  for (const [name, shape] of Object.entries(given)) {
    const input = graph.inputs.find((value) => value.name === name);
    if (!input) throw unknownInput(graph, name);
    checkShape(name, shape, input.type);
    input.type?.shape?.forEach((declared, i) => {
      const symbol = canonicalDim(declared);
      if (typeof symbol === "string" && symbol !== "?") bindings[symbol] ??= canonicalDim(shape[i] as Dim);
    });
  }
  const types = graph.inputs.map((input) => {
    const shape = Object.hasOwn(given, input.name) ? given[input.name]?.map(canonicalDim) : undefined;
    if (shape) return { dtype: input.type?.dtype ?? "float32", shape };
    return input.type && { ...input.type, shape: input.type.shape?.map((dim) => substitute(canonicalDim(dim), bindings)) };
  });
  return { types, bindings, overridden: Object.keys(given).length > 0 };
}

function unknownInput(graph: Graph, name: string): EdgewrightError {
  const names = graph.inputs.filter((value) => !value.constant).map((value) => `"${value.name}"`);
  return new EdgewrightError("INPUT_UNKNOWN", `The model has no input "${name}".`, {
    subject: name,
    hint: `Its inputs are ${names.join(", ") || "none"}.`,
  });
}

function checkShape(name: string, shape: readonly Dim[], type: TensorType | undefined): void {
  const bad = shape.find((dim) => typeof dim === "number" && !(Number.isSafeInteger(dim) && dim >= 0));
  if (bad !== undefined)
    throw new EdgewrightError("INPUT_SHAPE", `The shape ${formatShape(shape)} for input "${name}" has the extent ${bad}.`, {
      subject: name,
      hint: "Extents are whole numbers that are not negative.",
    });
  if (type?.shape && type.shape.length !== shape.length)
    throw new EdgewrightError(
      "INPUT_SHAPE",
      `The shape ${formatShape(shape)} for input "${name}" has ${shape.length} dimensions, but the model declares ${formatShape(type.shape)}.`,
      { subject: name },
    );
}
