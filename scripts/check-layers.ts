// Imports against the layer table (layers.json): arrows, `node:` where it is banned, third-party modules, cycles of value imports.
import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { type Findings, type Import, importsOf, isTest, readFiles, root, type SourceFile } from "./source-files.ts";

interface Folder {
  readonly layer: number;
  readonly node: boolean;
  readonly nodeFree?: readonly string[];
  readonly also?: readonly string[];
  readonly alsoTypes?: readonly string[];
  readonly only?: readonly string[];
}
export interface LayerTable {
  readonly folders: Readonly<Record<string, Folder>>;
  readonly thirdParty: {
    readonly anywhere: Readonly<Record<string, string>>;
  };
}

/** "src/ir/node.ts" belongs to "ir", "src/index.ts" to "index.ts". */
const folderOf = (path: string): string => path.split("/")[1] ?? "";
const insideFolder = (path: string): string => path.split("/").slice(2).join("/");
const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
const resolveImport = (from: string, specifier: string): string => posix.join(posix.dirname(from), specifier);

export function arrowProblem(table: LayerTable, from: string, to: string, typeOnly: boolean): string | undefined {
  const [source, target] = [folderOf(from), folderOf(to)];
  if (source === target) return undefined;
  const [above, below] = [table.folders[source], table.folders[target]];
  if (!above) return `folder src/${source} is not in scripts/layers.json`;
  if (!below) return `folder src/${target} is not in scripts/layers.json`;
  if (above.only && !above.only.includes(target) && !above.only.includes(`${target}/${insideFolder(to)}`))
    return `${source} may import only ${above.only.join(", ")}`;
  if (above.also?.includes(target) || (typeOnly && above.alsoTypes?.includes(target))) return undefined;
  if (below.layer < above.layer) return undefined;
  return `${source} (layer ${above.layer}) may not import ${target} (layer ${below.layer})`;
}

function mayUseNode(table: LayerTable, path: string): boolean {
  const folder = table.folders[folderOf(path)];
  return Boolean(folder?.node) && !folder?.nodeFree?.includes(insideFolder(path));
}

function checkFile(table: LayerTable, file: SourceFile, imports: readonly Import[]): string[] {
  const problems: string[] = [];
  for (const { specifier, line, typeOnly } of imports) {
    const at = `${file.path}:${line}`;
    if (specifier.startsWith("node:") && !mayUseNode(table, file.path))
      problems.push(`${at} imports ${specifier}; this part runs in browsers too`);
    if (!specifier.startsWith(".")) continue;
    if (!specifier.endsWith(".ts") && !specifier.endsWith(".json"))
      problems.push(`${at} imports "${specifier}" without its .ts ending`);
    const problem = arrowProblem(table, file.path, resolveImport(file.path, specifier), typeOnly);
    if (problem) problems.push(`${at} imports "${specifier}": ${problem}`);
  }
  return problems;
}

/** Each third-party module is imported in one file, so that it can be replaced in one file. */
function checkThirdParty(table: LayerTable, files: ReadonlyMap<SourceFile, readonly Import[]>): string[] {
  const users = new Map<string, Set<string>>();
  for (const [file, imports] of files)
    for (const { specifier } of imports) {
      if (/^(\.|node:)/.test(specifier) || packageOf(specifier) in table.thirdParty.anywhere) continue;
      users.set(specifier, (users.get(specifier) ?? new Set()).add(file.path));
    }
  return [...users]
    .filter(([, paths]) => paths.size > 1)
    .map(([name, paths]) => `${name} is imported in ${paths.size} files: ${[...paths].join(", ")}`);
}

/** Strongly connected components of more than one file (Tarjan 1972). */
export function cycles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): number => {
    index.set(file, index.size);
    low.set(file, index.size - 1);
    stack.push(file);
    for (const next of edges.get(file) ?? []) {
      const reach = index.has(next)
        ? stack.includes(next)
          ? (index.get(next) as number)
          : Number.POSITIVE_INFINITY
        : visit(next);
      low.set(file, Math.min(low.get(file) as number, reach));
    }
    if (low.get(file) === index.get(file)) {
      const component = stack.splice(stack.indexOf(file));
      if (component.length > 1) found.push(component);
    }
    return low.get(file) as number;
  };
  for (const file of edges.keys()) if (!index.has(file)) visit(file);
  return found;
}

export async function checkLayers(): Promise<Findings> {
  const table = JSON.parse(await readFile(`${root}scripts/layers.json`, "utf8")) as LayerTable;
  // tests may reach for anything that helps them
  const sources = (await readFiles("src", /\.ts$/)).filter((file) => !isTest(file.path));
  const files = new Map(sources.map((file) => [file, importsOf(file.text)] as const));
  const problems = [...files].flatMap(([file, imports]) => checkFile(table, file, imports));
  problems.push(...checkThirdParty(table, files));
  const edges = new Map<string, string[]>();
  for (const [file, imports] of files) {
    // a dynamic import happens after the modules are set up: it closes no cycle
    const values = imports.filter(({ specifier, typeOnly, dynamic }) => specifier.startsWith(".") && !typeOnly && !dynamic);
    edges.set(
      file.path,
      values.map(({ specifier }) => resolveImport(file.path, specifier)),
    );
  }
  problems.push(...cycles(edges).map((files) => `value imports form a cycle: ${files.join(" → ")}`));
  return { problems };
}
