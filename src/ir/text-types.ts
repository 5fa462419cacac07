import { type DataType, dataTypes } from "./dtype.ts";
import type { Lexer } from "./lexer.ts";
import { type Dim, type TensorType, unknownDim } from "./shape.ts";
import type { TypeTree } from "./type-proto.ts";

/** The text syntax says "float" and "double"; the other names are ours. */
const textNames: Partial<Record<DataType, string>> = { float32: "float", float64: "double" };
const textName = (dtype: DataType): string => textNames[dtype] ?? dtype;
const byTextName = new Map<string, DataType>((Object.keys(dataTypes) as DataType[]).map((dtype) => [textName(dtype), dtype]));

const composites = { seq: "sequence", optional: "optional", map: "map", sparse_tensor: "sparse", opaque: "opaque" } as const;
export const isTypeWord = (word: string): boolean => byTextName.has(word) || word in composites;

const identifier = /^[A-Za-z_][A-Za-z0-9_]*$/;
export const quote = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`;
/** A name as it stands in the text: quoted where it is no identifier, or would read as a type or a number. */
export const printName = (name: string): string =>
  identifier.test(name) && !isTypeWord(name) && !/^(inf|infinity|nan)$/i.test(name) ? name : quote(name);

const printDim = (dim: Dim): string => (typeof dim === "number" || dim === unknownDim ? String(dim) : printName(dim));

/** `float[N,3]`; `float` alone is a scalar, `float[]` has an unknown rank. */
export function printTensorType({ dtype, shape }: TensorType): string {
  if (!shape) return `${textName(dtype)}[]`;
  return shape.length === 0 ? textName(dtype) : `${textName(dtype)}[${shape.map(printDim).join(",")}]`;
}

export function printTypeTree(tree: TypeTree | undefined): string {
  switch (tree?.kind) {
    case "tensor":
      return tree.type ? printTensorType(tree.type) : "opaque()";
    case "sparse":
      return `sparse_tensor(${tree.type ? printTensorType(tree.type) : ""})`;
    case "sequence":
      return `seq(${printTypeTree(tree.element)})`;
    case "optional":
      return `optional(${printTypeTree(tree.element)})`;
    case "map":
      return `map(${tree.key ? textName(tree.key) : "undefined"}, ${printTypeTree(tree.value)})`;
    default:
      return tree ? `opaque(${quote(tree.domain)}, ${quote(tree.name)})` : "opaque()";
  }
}

function parseDim(lexer: Lexer): Dim {
  const { kind } = lexer.token;
  if (kind === "integer") {
    const dim = Number(lexer.next().text);
    return Number.isSafeInteger(dim) && dim >= 0 ? dim : lexer.error(`a dimension cannot be ${dim}`);
  }
  if (kind === "identifier" || kind === "string") return lexer.next().text;
  lexer.expect("?");
  return unknownDim;
}

function parseTensorType(lexer: Lexer): TensorType {
  const dtype = byTextName.get(lexer.token.text) ?? lexer.reject("a type");
  lexer.next();
  if (!lexer.is("[")) return { dtype, shape: [] };
  const shape: Dim[] = [];
  lexer.list("[", "]", () => shape.push(parseDim(lexer)));
  return { dtype, shape: shape.length > 0 ? shape : undefined };
}

const maxDepth = 30;

export function parseType(lexer: Lexer, depth = 0): TypeTree {
  if (depth > maxDepth) lexer.error(`types nest deeper than ${maxDepth} levels`);
  const word = lexer.token.kind === "identifier" ? lexer.token.text : lexer.reject("a type");
  const kind = word in composites ? composites[word as keyof typeof composites] : undefined;
  if (!kind) return { kind: "tensor", type: parseTensorType(lexer) };
  lexer.next();
  lexer.expect("(");
  const tree = parseComposite(kind, lexer, depth + 1);
  lexer.expect(")");
  return tree;
}

function parseComposite(kind: "sequence" | "optional" | "map" | "sparse" | "opaque", lexer: Lexer, depth: number): TypeTree {
  if (kind === "sparse") return { kind, type: lexer.is(")") ? undefined : parseTensorType(lexer) };
  if (kind === "opaque") {
    const domain = lexer.is(")") ? "" : lexer.take("string", "a domain");
    const name = lexer.accept(",") ? lexer.take("string", "a name") : "";
    return { kind, domain, name };
  }
  if (kind !== "map") return { kind, element: parseType(lexer, depth) };
  const key = byTextName.get(lexer.take("identifier", "a key type"));
  lexer.expect(",");
  return { kind, key, value: parseType(lexer, depth) };
}
