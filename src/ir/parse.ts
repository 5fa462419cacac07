import type { Attribute } from "./attribute.ts";
import { Lexer } from "./lexer.ts";
import { Model, type ModelFunction } from "./model.ts";
import { define, newScope, parseAttribute, parseGraphText, parseName, parseNodes, type TextScope } from "./parse-graph.ts";
import { integerOf } from "./text-tensors.ts";
import { parseType } from "./text-types.ts";

/**
 * Reads a model in ONNX's text syntax (see `printModel`). The header may be left out: IR version 10, operator set 21.
 * Errors are EdgewrightError `TEXT_SYNTAX`, with line and column.
 */
export function parseModel(text: string): Model {
  const lexer = new Lexer(text);
  const header = parseHeader(lexer);
  const irVersion = Number(header.values.get("ir_version") ?? 10);
  const model = new Model({ graph: parseGraphText(lexer), irVersion, ...(header.opsets ? { opsets: header.opsets } : {}) });
  model.producerName = header.values.get("producer_name") ?? "";
  model.producerVersion = header.values.get("producer_version") ?? "";
  model.domain = header.values.get("domain") ?? "";
  model.modelVersion = integerOf(header.values.get("model_version") ?? "0");
  model.docString = header.values.get("doc_string") ?? "";
  model.metadata = header.metadata;
  while (lexer.token.kind !== "end") model.functions.push(parseFunction(lexer));
  return model;
}

interface Header {
  readonly values: Map<string, string>;
  readonly metadata: Map<string, string>;
  opsets: Map<string, number> | undefined;
}
const integers = new Set(["ir_version", "model_version"]);
const texts = new Set(["producer_name", "producer_version", "domain", "doc_string", "overload"]);

/** `<ir_version: 10, opset_import: ["" : 21], ...>` */
function parseHeader(lexer: Lexer): Header {
  const header: Header = { values: new Map(), metadata: new Map(), opsets: undefined };
  if (lexer.is("<")) lexer.list("<", ">", () => parseHeaderEntry(lexer, header));
  return header;
}

function parseHeaderEntry(lexer: Lexer, header: Header): void {
  const position = lexer.token.position;
  const key = lexer.take("identifier", "a header's field");
  lexer.expect(":");
  if (integers.has(key)) header.values.set(key, lexer.take("integer"));
  else if (texts.has(key)) header.values.set(key, lexer.take("string"));
  else if (key === "opset_import") header.opsets = parseOpsets(lexer);
  else if (key === "metadata_props")
    lexer.list("[", "]", () => {
      const name = lexer.take("string", "a key");
      lexer.expect(":");
      header.metadata.set(name, lexer.take("string", "a value"));
    });
  else lexer.error(`a header has no field "${key}"`, position);
}

function parseOpsets(lexer: Lexer): Map<string, number> {
  const opsets = new Map<string, number>();
  lexer.list("[", "]", () => {
    const domain = lexer.take("string", "a domain");
    lexer.expect(":");
    opsets.set(domain === "ai.onnx" ? "" : domain, Number(lexer.take("integer", "a version")));
  });
  return opsets;
}

function parseFunction(lexer: Lexer): ModelFunction {
  const header = parseHeader(lexer);
  const name = parseName(lexer, "a function's name");
  const scope = newScope(lexer, name);
  const attributeNames: string[] = [];
  const attributeDefaults = new Map<string, Attribute>();
  if (lexer.is("<")) lexer.list("<", ">", () => parseParameter(lexer, scope, attributeNames, attributeDefaults));
  lexer.list("(", ")", () => {
    const input = parseName(lexer);
    define(lexer, scope, input, scope.graph.addInput(input));
  });
  lexer.expect("=>");
  const outputs: string[] = [];
  lexer.list("(", ")", () => outputs.push(parseName(lexer)));
  if (lexer.is("<"))
    lexer.list("<", ">", () => {
      const tree = parseType(lexer);
      scope.types.set(parseName(lexer), tree);
    });
  parseNodes(lexer, scope);
  for (const output of outputs) scope.graph.addOutput(scope.values.get(output) ?? lexer.error(`"${output}" is not defined`));
  return {
    domain: header.values.get("domain") ?? "",
    name,
    overload: header.values.get("overload") ?? "",
    graph: scope.graph,
    attributeNames,
    attributeDefaults,
    opsets: header.opsets ?? new Map(),
    docString: header.values.get("doc_string"),
    metadata: header.metadata,
  };
}

/** An attribute that callers must give (`alpha`), or one with a default (`alpha: float = 1.0`). */
function parseParameter(lexer: Lexer, scope: TextScope, names: string[], defaults: Map<string, Attribute>): void {
  const follows = lexer.peek();
  if (follows.kind === "punctuation" && (follows.text === ":" || follows.text === "=")) {
    defaults.set(...(parseAttribute(lexer, scope) as [string, Attribute]));
    return;
  }
  names.push(parseName(lexer));
}
