// Builds test/corpus/models.json, run by `npx tsx test/corpus/build.ts`: broken models as data, with the error that each must give.
import { writeFile } from "node:fs/promises";
import { encodeOnnx } from "../../src/formats/index.ts";
import { parseModel } from "../../src/ir/index.ts";
import { type CorpusEntry, type Edit, entryBytes, outcomeOf } from "./corpus.ts";

/** One of everything that a file may hold: weights, an inner graph, a function, attributes of most types. */
const small = `<ir_version: 10, opset_import: ["": 21, "local": 1], producer_name: "corpus", metadata_props: ["key": "value"]>
small (float[N,3] x, bool c) => (float[N,3] y) <float[3,3] w = {1.0, 0.0, 0.5, 2.0, 1.0, 0.0, 0.0, 1.0, 3.0}, int64[1] axes = {0}> {
  a = MatMul (x, w)
  [pick] b = If <then_branch = t () => (float[N,3] i) { i = Relu (a) }, else_branch = e () => (float[N,3] j) { j = LeakyRelu <alpha = 0.5> (a) }> (c)
  z = Unsqueeze (b, axes)
  s = Squeeze (z, axes)
  y = local.f <alpha = 2.0> (s)
}
<domain: "local", opset_import: ["": 21]> f <alpha> (u) => (v) { v = Elu <alpha: float = @alpha> (u) }`;

const bytes = encodeOnnx(parseModel(small));
const base64 = (data: Uint8Array): string => Buffer.from(data).toString("base64");

/** Protobuf by hand: a length-delimited field, a number field. */
const field = (number: number, content: Uint8Array | string): Uint8Array => {
  const data = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return Buffer.concat([varint((number << 3) | 2), varint(data.byteLength), data]);
};
const numberField = (number: number, value: number): Uint8Array => Buffer.concat([varint(number << 3), varint(value)]);
function varint(value: number): Uint8Array {
  const out: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
  return Uint8Array.of(...out, rest);
}
const join = (...parts: Uint8Array[]): Uint8Array => Buffer.concat(parts);
const model = (...graph: Uint8Array[]): Uint8Array =>
  join(numberField(1, 10), field(8, numberField(2, 21)), field(7, join(...graph)));
const node = (op: string, inputs: string[], outputs: string[], ...attributes: Uint8Array[]): Uint8Array =>
  field(1, join(...inputs.map((name) => field(1, name)), ...outputs.map((name) => field(2, name)), field(4, op), ...attributes));
const info = (number: number, name: string): Uint8Array =>
  field(number, join(field(1, name), field(2, field(1, numberField(1, 1)))));
const tensor = (name: string, dims: number[], ...rest: Uint8Array[]): Uint8Array =>
  field(5, join(...dims.map((dim) => numberField(1, dim)), numberField(2, 1), field(8, name), ...rest));
const external = (location: string): Uint8Array =>
  tensor("w", [1], field(13, join(field(1, "location"), field(2, location))), numberField(14, 1));

function nested(depth: number): Uint8Array {
  let graph: Uint8Array = field(2, "g");
  for (let i = 0; i < depth; i++)
    graph = join(
      field(2, "g"),
      node("If", ["c"], ["y"], field(5, join(field(1, "then_branch"), field(6, graph), numberField(20, 5)))),
    );
  return model(graph);
}
function nestedTypes(depth: number): Uint8Array {
  let type: Uint8Array = field(1, numberField(1, 1));
  for (let i = 0; i < depth; i++) type = field(4, field(1, type));
  return model(field(11, join(field(1, "x"), field(2, type))));
}

const raw = (expect: string, name: string, data: Uint8Array): CorpusEntry => ({ name, base64: base64(data), expect });
const edited = (name: string, edit: Edit): CorpusEntry => ({ name, edit, expect: "" });

const written: CorpusEntry[] = [
  raw("ONNX_EMPTY", "zero bytes", new Uint8Array()),
  raw("ONNX_NOT_A_MODEL", "one zero byte", Uint8Array.of(0)),
  raw("ONNX_NOT_A_MODEL", "not ONNX: text", new TextEncoder().encode("name,label\ncat,3\n")),
  raw("ONNX_NOT_A_MODEL", "not ONNX: JSON", new TextEncoder().encode('{"model": true}')),
  raw("ONNX_NOT_A_MODEL", "not ONNX: PNG", Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13)),
  raw(
    "ONNX_NOT_A_MODEL",
    "not ONNX: a Git LFS pointer",
    new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\n"),
  ),
  raw("ONNX_NOT_A_MODEL", "not ONNX: all bits set", new Uint8Array(64).fill(255)),
  raw("ONNX_TRUNCATED", "a length of 2^60", join(numberField(1, 10), Uint8Array.of(0x3a), varint(2 ** 60))),
  raw("ONNX_CYCLE", "a cycle of two nodes", model(node("Relu", ["b"], ["a"]), node("Relu", ["a"], ["b"]), info(12, "b"))),
  raw("ONNX_CYCLE", "a node that reads its own output", model(node("Add", ["x", "a"], ["a"]), info(11, "x"), info(12, "a"))),
  raw("ONNX_UNDEFINED_VALUE", "a missing initializer", model(node("MatMul", ["x", "w"], ["y"]), info(11, "x"), info(12, "y"))),
  raw("ONNX_UNDEFINED_VALUE", "an output that nothing makes", model(info(12, "y"))),
  raw(
    "ONNX_DUPLICATE_VALUE",
    "a value that two nodes make",
    model(node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"]), info(11, "x")),
  ),
  raw("ONNX_TENSOR_SIZE", "dims of 2^40 without data", model(tensor("w", [2 ** 40]))),
  raw("ONNX_DIMS", "dims whose product overflows", model(tensor("w", [2 ** 31, 2 ** 31, 2 ** 31]))),
  raw(
    "ONNX_DIMS",
    "a negative dim",
    model(
      tensor(
        "w",
        [-1].map(() => 2 ** 63),
      ),
    ),
  ),
  raw("ONNX_TENSOR_SIZE", "more bytes than the shape has room for", model(tensor("w", [1], field(9, new Uint8Array(64))))),
  raw("ONNX_EXTERNAL_ESCAPE", "external data at an absolute path", model(external("/etc/hostname"))),
  raw("ONNX_EXTERNAL_ESCAPE", "external data above the folder", model(external("../secret.bin"))),
  raw("ONNX_EXTERNAL_ESCAPE", "external data by a detour", model(external("a/../../secret.bin"))),
  raw("ONNX_EXTERNAL_ESCAPE", "external data at a drive", model(external("C:\\secret.bin"))),
  raw("ONNX_EXTERNAL_MISSING", "external data that does not exist", model(external("nothing-here.bin"))),
  raw("ONNX_NESTING", "graphs in graphs, 40 deep", nested(40)),
  raw("ONNX_NESTING", "graphs in graphs, 1,000 deep", nested(1000)),
  raw("ONNX_NESTING", "types in types, 2,000 deep", nestedTypes(2000)),
];

/** Cuts at 40 places, and single bits flipped at 60 places spread over the file. */
const cuts = Array.from({ length: 40 }, (_, i) => Math.floor(((i + 0.5) * bytes.byteLength) / 40));
const flips = Array.from({ length: 60 }, (_, i) => [Math.floor(((i + 0.3) * bytes.byteLength) / 60), i % 8] as const);
const all = [
  ...written,
  ...cuts.map((at) => edited(`cut at byte ${at}`, { cut: at })),
  ...flips.map(([at, bit]) => edited(`bit ${bit} of byte ${at} flipped`, { flip: at, bit })),
];

// Cuts and flipped bits are recorded as they come out, an error code or "loads" where the damage is harmless, and held from then on.
const corpus = { small: base64(bytes), entries: all };
const entries = [];
for (const entry of all) {
  const { code } = await outcomeOf(entryBytes(corpus, entry));
  if (entry.expect && entry.expect !== code) throw new Error(`${entry.name}: ${entry.expect} expected, but it gives ${code}`);
  entries.push({ ...entry, expect: code });
}
await writeFile(new URL("models.json", import.meta.url), `${JSON.stringify({ small: corpus.small, entries }, undefined, 1)}\n`);
for (const { name, expect } of entries) process.stdout.write(`${expect.padEnd(24)} ${name}\n`);
