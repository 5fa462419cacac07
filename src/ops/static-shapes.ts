import { canonicalDim, type Dim, type Model, substitute, symbolsOf } from "../ir/index.ts";
import { inferShapes, type ShapeReport } from "./infer.ts";
import { bindInputs } from "./infer-inputs.ts";

/**
 * Shapes of the graph inputs as numbers: as given, and 1 for every symbol and unknown extent that is left (batch size 1 is what an
 * edge device runs). Inputs of unknown rank are left out.
 */
export function staticInputShapes(
  model: Model,
  given: Readonly<Record<string, readonly Dim[]>> = {},
): Record<string, readonly Dim[]> {
  const { types } = bindInputs(model.graph, given);
  const shapes: Record<string, readonly Dim[]> = {};
  model.graph.inputs.forEach((input, i) => {
    const shape = types[i]?.shape;
    if (shape && !input.constant) shapes[input.name] = shape.map(toNumber);
  });
  return shapes;
}

function toNumber(dim: Dim): Dim {
  const known = canonicalDim(dim);
  const value = substitute(known, Object.fromEntries(symbolsOf(known).map((symbol) => [symbol, 1])));
  return typeof value === "number" ? value : 1;
}

/** Shape inference with all inputs static; leaves the model's own types alone and does not stop at invalid nodes. */
export const staticShapes = (model: Model, inputShapes: Readonly<Record<string, readonly Dim[]>> = {}): ShapeReport =>
  inferShapes(model, { inputShapes: staticInputShapes(model, inputShapes), invalid: "warn", write: false });
