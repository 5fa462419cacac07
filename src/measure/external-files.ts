import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { allGraphs, type Graph, type Model, type Tensor } from "../ir/index.ts";

/** A file of weights beside a model. */
export interface ExternalFile {
  /** As the model names it, relative to its folder. */
  readonly location: string;
  readonly bytes: number;
  read(): Promise<Uint8Array>;
}

function* tensorsOf(graph: Graph): Generator<Tensor> {
  for (const value of graph.initializers) {
    if (value.constant) yield value.constant;
    if (value.sparse) yield* [value.sparse.values, value.sparse.indices];
  }
  for (const node of graph.nodes)
    for (const attribute of node.attributes.values()) {
      if (attribute.type === "tensor") yield attribute.value;
      if (attribute.type === "tensors") yield* attribute.value;
    }
}

/** The external data files that a model's tensors name; loading the model has checked that they lie in its folder. */
export async function externalFiles(model: Model, path: string): Promise<ExternalFile[]> {
  const graphs = [model.graph, ...model.functions.map((body) => body.graph)].flatMap((graph) => [...allGraphs(graph)]);
  const locations = new Set<string>();
  for (const graph of graphs) for (const tensor of tensorsOf(graph)) if (tensor.external) locations.add(tensor.external.location);
  return Promise.all(
    [...locations].map(async (location) => {
      const file = resolve(dirname(path), location);
      return { location, bytes: (await stat(file)).size, read: async () => new Uint8Array(await readFile(file)) };
    }),
  );
}
