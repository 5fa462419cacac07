import type { Model } from "../../ir/index.ts";

/**
 * IR version 3 lists every initializer among the graph's inputs; since version 4 that means "a caller may override it". Makes plain
 * initializers of those of version 3, and of all when `all` is set. Returns the names changed and the names left overridable.
 */
export function plainInitializers(model: Model, all: boolean): { changed: string[]; overridable: string[] } {
  const { graph } = model;
  const listed = graph.inputs.filter((input) => graph.initializers.has(input));
  const old = model.irVersion < 4;
  if (listed.length === 0) return { changed: [], overridable: [] };
  if (!old && !all) return { changed: [], overridable: listed.map((value) => value.name) };
  const keep = graph.inputs.filter((input) => !graph.initializers.has(input));
  graph.inputs.splice(0, graph.inputs.length, ...keep);
  graph.changed();
  if (old) model.irVersion = 4;
  return { changed: listed.map((value) => value.name), overridable: [] };
}
