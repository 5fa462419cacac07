import type { Attribute } from "./attribute.ts";
import { Graph } from "./graph.ts";
import type { Lexer } from "./lexer.ts";
import { attributeTypeNames } from "./print.ts";
import type { Tensor } from "./tensor.ts";
import { integerOf, isNumber, numberOf, parseData, parseSparseData } from "./text-tensors.ts";
import { isTypeWord, parseType } from "./text-types.ts";
import { foreignTypeOf, type TypeTree } from "./type-proto.ts";
import type { Value } from "./value.ts";

/** Names of one graph while its text is read. */
export interface TextScope {
  readonly graph: Graph;
  readonly values: Map<string, Value>;
  /** Types listed before the nodes that make the values. */
  readonly types: Map<string, TypeTree>;
  readonly outer: TextScope | undefined;
  readonly depth: number;
}

const maxDepth = 30;

export function newScope(lexer: Lexer, name: string, outer?: TextScope): TextScope {
  const depth = (outer?.depth ?? 0) + 1;
  if (depth > maxDepth) lexer.error(`graphs nest deeper than ${maxDepth} levels`);
  return { graph: new Graph(name, outer?.graph), values: new Map(), types: new Map(), outer, depth };
}

export function parseName(lexer: Lexer, what = "a name"): string {
  if (lexer.token.kind === "string") return lexer.next().text;
  return lexer.take("identifier", what);
}

function find(lexer: Lexer, scope: TextScope, name: string): Value {
  for (let at: TextScope | undefined = scope; at; at = at.outer) {
    const value = at.values.get(name);
    if (value) return value;
  }
  return lexer.error(`"${name}" is not defined`);
}

export function define(lexer: Lexer, scope: TextScope, name: string, value: Value): Value {
  if (!name) return value;
  for (let at: TextScope | undefined = scope; at; at = at.outer)
    if (at.values.has(name)) lexer.error(`"${name}" is defined twice`);
  scope.values.set(name, value);
  return value;
}

function setType(value: Value, tree: TypeTree | undefined): void {
  if (tree?.kind === "tensor") value.type = tree.type;
  else if (tree) value.foreignType = foreignTypeOf(tree);
}

const atType = (lexer: Lexer): boolean => lexer.token.kind === "identifier" && isTypeWord(lexer.token.text);
const optionalType = (lexer: Lexer): TypeTree | undefined => (atType(lexer) ? parseType(lexer) : undefined);

/** Graph text: `name (inputs) => (outputs) <initializers and types> { nodes }`. */
export function parseGraphText(lexer: Lexer, outer?: TextScope): Graph {
  const scope = newScope(lexer, parseName(lexer, "a graph's name"), outer);
  lexer.list("(", ")", () => {
    const tree = optionalType(lexer);
    const name = parseName(lexer);
    const value = define(lexer, scope, name, scope.graph.addInput(name));
    setType(value, tree);
    if (lexer.accept("=")) giveConstant(lexer, scope, value, tree);
  });
  lexer.expect("=>");
  const outputs = parseOutputs(lexer, scope);
  if (lexer.is("<")) lexer.list("<", ">", () => parseFact(lexer, scope));
  parseNodes(lexer, scope);
  for (const name of outputs) scope.graph.addOutput(find(lexer, scope, name));
  return scope.graph;
}

function parseOutputs(lexer: Lexer, scope: TextScope): string[] {
  const names: string[] = [];
  lexer.list("(", ")", () => {
    const tree = optionalType(lexer);
    const name = parseName(lexer);
    if (tree) scope.types.set(name, tree);
    names.push(name);
  });
  return names;
}

function giveConstant(lexer: Lexer, scope: TextScope, value: Value, tree: TypeTree | undefined): void {
  if (tree?.kind === "sparse") {
    value.sparse = parseSparseData(lexer, tree.type, () => parseTensor(lexer));
    value.type = tree.type;
    value.foreignType = undefined;
  } else value.constant = parseData(lexer, tree?.kind === "tensor" ? tree.type : undefined);
  scope.graph.markInitializer(value);
}

/** An initializer (`float[2] w = {1, 2}`), or the type of a value that a node will make. */
function parseFact(lexer: Lexer, scope: TextScope): void {
  const tree = parseType(lexer);
  const name = parseName(lexer);
  if (!lexer.accept("=")) {
    scope.types.set(name, tree);
    return;
  }
  if (tree.kind === "sparse") {
    const sparse = parseSparseData(lexer, tree.type, () => parseTensor(lexer));
    const value = define(lexer, scope, name, scope.graph.addInitializer(name, sparse.values));
    value.constant = undefined;
    value.sparse = sparse;
    value.type = tree.type;
  } else
    define(
      lexer,
      scope,
      name,
      scope.graph.addInitializer(name, parseData(lexer, tree.kind === "tensor" ? tree.type : undefined)),
    );
}

export function parseNodes(lexer: Lexer, scope: TextScope): void {
  lexer.expect("{");
  while (!lexer.accept("}")) parseNode(lexer, scope);
  for (const name of scope.types.keys())
    if (!scope.values.has(name)) {
      // outputs may name values of enclosing graphs; those keep their own type
      if (!isOuter(scope, name)) lexer.error(`"${name}" has a type but no node makes it`);
    } else setTypeOf(scope, name);
}

const isOuter = (scope: TextScope, name: string): boolean => {
  for (let at = scope.outer; at; at = at.outer) if (at.values.has(name)) return true;
  return false;
};

function setTypeOf(scope: TextScope, name: string): void {
  const value = scope.values.get(name);
  if (value && (value.producer || scope.graph.inputs.includes(value)) && !value.type) setType(value, scope.types.get(name));
}

function parseNode(lexer: Lexer, scope: TextScope): void {
  let label = "";
  if (lexer.accept("[")) {
    label = parseName(lexer, "a node's name");
    lexer.expect("]");
  }
  const outputs: string[] = [];
  while (!lexer.accept("=")) {
    outputs.push(parseName(lexer, 'an output\'s name or "="'));
    if (!lexer.is("=")) lexer.expect(",");
  }
  const { domain, opType, overload } = parseOp(lexer);
  const before = parseAttributeList(lexer, scope);
  const inputs: (Value | undefined)[] = [];
  lexer.expect("(");
  if (!lexer.is(")"))
    do inputs.push(parseInput(lexer, scope));
    while (lexer.accept(","));
  lexer.expect(")");
  const node = scope.graph.node(opType, inputs, { domain, overload, name: label, outputs });
  for (const [name, attribute] of [...before, ...parseAttributeList(lexer, scope)]) {
    if (node.attributes.has(name)) lexer.error(`attribute "${name}" is given twice`);
    node.setAttribute(name, attribute);
  }
  node.outputs.forEach((output) => {
    define(lexer, scope, output.name, output);
  });
}

/** A missing optional input is `""`, or nothing between two commas. */
function parseInput(lexer: Lexer, scope: TextScope): Value | undefined {
  if (lexer.is(",") || lexer.is(")")) return undefined;
  const name = parseName(lexer, "an input's name");
  return name ? find(lexer, scope, name) : undefined;
}

function parseOp(lexer: Lexer): { domain: string; opType: string; overload: string } {
  const parts = [parseName(lexer, "an operator")];
  while (lexer.accept(".")) parts.push(parseName(lexer, "an operator"));
  const opType = parts.pop() as string;
  const overload = lexer.accept(":") ? parseName(lexer, "an overload") : "";
  const domain = parts.join(".");
  return { domain: domain === "ai.onnx" ? "" : domain, opType, overload };
}

type NamedAttribute = readonly [string, Attribute];

function parseAttributeList(lexer: Lexer, scope: TextScope): NamedAttribute[] {
  const attributes: NamedAttribute[] = [];
  if (lexer.is("<")) lexer.list("<", ">", () => attributes.push(parseAttribute(lexer, scope)));
  return attributes;
}

/** `name = value`, or `name: type = value`; the type is needed where the value does not say it. */
export function parseAttribute(lexer: Lexer, scope: TextScope): NamedAttribute {
  const name = parseName(lexer, "an attribute's name");
  const type = lexer.accept(":") ? parseAttributeType(lexer) : undefined;
  lexer.expect("=");
  if (lexer.accept("@"))
    return [name, { type: "reference", value: parseName(lexer), typeCode: attributeTypeNames.indexOf(type ?? "undefined") }];
  return [name, lexer.is("[") ? parseListAttribute(lexer, scope, type) : parseSingle(lexer, scope, type)];
}

type TypeWord = (typeof attributeTypeNames)[number];

function parseAttributeType(lexer: Lexer): TypeWord {
  const word = lexer.token.text;
  const type = attributeTypeNames.find((candidate) => candidate === word) ?? lexer.reject("an attribute type");
  lexer.next();
  return type;
}

const plurals: Readonly<Record<string, TypeWord>> = Object.fromEntries(
  ["float", "int", "string", "tensor", "graph", "sparse_tensor", "type_proto"].map((type) => [type, `${type}s` as TypeWord]),
);

function parseListAttribute(lexer: Lexer, scope: TextScope, type: TypeWord | undefined): Attribute {
  const items: Attribute[] = [];
  const itemType = type && (type.replace(/s$/, "") as TypeWord);
  lexer.list("[", "]", () => items.push(parseSingle(lexer, scope, itemType)));
  // a list that mixes 1 and 1.5 is a list of floats
  const found = items.some((item) => item.type === "float") ? "float" : items[0]?.type;
  const listType =
    type ?? (found ? plurals[found] : undefined) ?? lexer.error("an empty list needs a type, such as `axes: ints = []`");
  for (const item of items)
    if (plurals[item.type] !== listType && !(listType === "floats" && item.type === "int"))
      lexer.error(`a list of ${listType} holds a value of type ${item.type}`);
  return { type: listType, value: items.map((item) => item.value) } as Attribute;
}

function parseSingle(lexer: Lexer, scope: TextScope, type: TypeWord | undefined): Attribute {
  const { kind, text } = lexer.token;
  if (type === "type_proto") return { type, value: foreignTypeOf(parseType(lexer)) };
  if (type === "graph") return { type, value: parseGraphText(lexer, scope) };
  if (kind === "string" && !isGraphStart(lexer)) return { type: "string", value: lexer.next().text };
  if (kind === "integer" && type !== "float") {
    lexer.next();
    return { type: "int", value: integerOf(text) };
  }
  if (isNumber(lexer) && !isGraphStart(lexer)) {
    lexer.next();
    return { type: "float", value: Math.fround(numberOf(text)) };
  }
  if (lexer.isWord("sparse_tensor")) return parseSparseAttribute(lexer);
  if (atType(lexer)) return { type: "tensor", value: parseTensor(lexer) };
  return { type: "graph", value: parseGraphText(lexer, scope) };
}

const isGraphStart = (lexer: Lexer): boolean => lexer.peek().text === "(" && lexer.peek().kind === "punctuation";

function parseSparseAttribute(lexer: Lexer): Attribute {
  const tree = parseType(lexer);
  lexer.accept("=");
  const type = tree.kind === "sparse" ? tree.type : undefined;
  return { type: "sparse_tensor", value: parseSparseData(lexer, type, () => parseTensor(lexer)) };
}

/** `float[2] {1, 2}`; a name and "=" may stand between. */
function parseTensor(lexer: Lexer): Tensor {
  const tree = parseType(lexer);
  if (lexer.token.kind === "identifier" || lexer.token.kind === "string") lexer.next();
  lexer.accept("=");
  return parseData(lexer, tree.kind === "tensor" ? tree.type : undefined);
}
