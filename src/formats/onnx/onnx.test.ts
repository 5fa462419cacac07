import { describe, expect, test } from "vitest";
import {
  type DataType,
  dataTypes,
  encodeTensorType,
  equalModels,
  Graph,
  int64Tensor,
  Model,
  Tensor,
  toNumbers,
  typedArray,
  verify,
} from "../../ir/index.ts";
import { encodeMessage, joinChunks } from "../../util/protobuf/index.ts";
import { encodeOnnx, readOnnx, writeOnnx } from "./index.ts";
import { type GraphProto, type ModelProto, modelProto, type TensorProto } from "./protos.ts";

const bytesOf = (proto: ModelProto): Uint8Array => joinChunks(encodeMessage(modelProto, proto).chunks);
const modelBytes = (graph: GraphProto, rest: ModelProto = {}): Uint8Array =>
  bytesOf({ irVersion: 10, opsetImport: [{ domain: "", version: 21 }], graph, ...rest });
const read = (graph: GraphProto, rest: ModelProto = {}): Model => readOnnx(modelBytes(graph, rest));

/** Reads one initializer from its message. */
function readTensor(proto: TensorProto): Tensor {
  const [value] = read({ name: "g", initializer: [{ name: "w", ...proto }] }).graph.initializers;
  return value?.constant as Tensor;
}
const again = (model: Model): Model => readOnnx(encodeOnnx(model));
const varints = (...values: number[]): Uint8Array[] => [Uint8Array.from(values)];

describe("tensors", () => {
  const dtypes = (Object.keys(dataTypes) as DataType[]).filter((dtype) => dtype !== "string");
  test.each(dtypes)("raw %s survives, bit by bit", (dtype) => {
    const count = 5;
    const bytes = Uint8Array.from({ length: Math.ceil((count * dataTypes[dtype].bits) / 8) }, (_, i) => (i * 37 + 200) & 0xff);
    const tensor = readTensor({ dims: [count], dataType: dataTypes[dtype].code, rawData: bytes });
    expect(tensor.dtype).toBe(dtype);
    expect(tensor.bytes()).toEqual(bytes);
    const graph = new Graph("g");
    graph.addInitializer("w", tensor);
    expect(again(new Model({ graph })).graph.initializers.values().next().value?.constant?.bytes()).toEqual(bytes);
  });

  test("weights are views on the file, and are handed on by reference", () => {
    const raw = new Uint8Array(8192).fill(7);
    const file = modelBytes({ name: "g", initializer: [{ name: "w", dims: [8192], dataType: 2, rawData: raw }] });
    const model = readOnnx(file);
    const tensor = [...model.graph.initializers][0]?.constant as Tensor;
    expect(tensor.bytes().buffer).toBe(file.buffer);
    expect(writeOnnx(model).chunks).toContain(tensor);
  });

  test("typed fields become bytes", () => {
    const float = new Uint8Array(Float32Array.of(1.5, -2).buffer);
    expect(toNumbers(readTensor({ dims: [2], dataType: 1, floatData: [float] }))).toEqual([1.5, -2]);
    // one by one instead of packed
    expect(toNumbers(readTensor({ dims: [2], dataType: 1, floatData: [float.subarray(0, 4), float.subarray(4)] }))).toEqual([
      1.5, -2,
    ]);
    expect(toNumbers(readTensor({ dims: [3], dataType: 3, int32Data: varints(1, 2, 127) }))).toEqual([1, 2, 127]);
    const minusOne = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    expect(toNumbers(readTensor({ dims: [2], dataType: 6, int32Data: varints(...minusOne, 5) }))).toEqual([-1, 5]);
    expect(typedArray(readTensor({ dims: [2], dataType: 7, int64Data: varints(...minusOne, 200, 1) }))).toEqual(
      BigInt64Array.of(-1n, 200n),
    );
    expect(typedArray(readTensor({ dims: [1], dataType: 13, uint64Data: varints(...minusOne) }))).toEqual(
      BigUint64Array.of(0xffffffffffffffffn),
    );
    // float16 1.0 is 0x3c00 = 15360
    expect(toNumbers(readTensor({ dims: [1], dataType: 10, int32Data: varints(0x80, 0x78) }))).toEqual([1]);
    // two int4 an entry: low half first
    expect(toNumbers(readTensor({ dims: [3], dataType: 22, int32Data: varints(0x21, 0x0f) }))).toEqual([1, 2, -1]);
    // float6: one an entry, packed densely
    expect(readTensor({ dims: [4], dataType: 27, int32Data: varints(1, 2, 3, 4) }).bytes()).toEqual(
      Uint8Array.of(0x81, 0x30, 0x10),
    );
  });

  test("strings, also those that are not UTF-8", () => {
    const text = (...items: (string | number[])[]) =>
      items.map((item) => (typeof item === "string" ? new TextEncoder().encode(item) : Uint8Array.from(item)));
    expect(readTensor({ dims: [2], dataType: 8, stringData: text("a", "größe") }).strings).toEqual(["a", "größe"]);
    const file = modelBytes({
      name: "g",
      initializer: [{ name: "w", dims: [2], dataType: 8, stringData: text("a", [0xff, 0xfe]) }],
    });
    expect(encodeOnnx(readOnnx(file))).toEqual(file);
  });

  const broken: [string, TensorProto, string][] = [
    ["too few bytes", { dims: [3], dataType: 1, rawData: new Uint8Array(8) }, "ONNX_TENSOR_SIZE"],
    ["no bytes for an absurd shape", { dims: [1e9, 1000], dataType: 1 }, "ONNX_TENSOR_SIZE"],
    ["a shape beyond counting", { dims: [2 ** 50, 2 ** 50], dataType: 1 }, "ONNX_DIMS"],
    ["a negative dimension", { dims: [-1], dataType: 1 }, "ONNX_DIMS"],
    ["a 64-bit dimension", { dims: [2n ** 62n], dataType: 1 }, "ONNX_DIMS"],
    ["an unknown element type", { dims: [1], dataType: 99, rawData: new Uint8Array(4) }, "ONNX_DTYPE"],
    ["more numbers than elements", { dims: [1], dataType: 7, int64Data: varints(1, 2) }, "ONNX_TENSOR_SIZE"],
    ["a number without an end", { dims: [1], dataType: 7, int64Data: varints(0x80) }, "ONNX_TRUNCATED"],
    ["missing strings", { dims: [1e12], dataType: 8 }, "ONNX_TENSOR_SIZE"],
  ];
  test.each(broken)("%s", (_, proto, code) => {
    expect(() => readTensor(proto)).toThrow(expect.objectContaining({ code }));
  });
});

describe("external data", () => {
  const entry = (location: string, offset = "0", length = "4") => [
    { key: "location", value: location },
    { key: "offset", value: offset },
    { key: "length", value: length },
  ];
  const external = (entries: TensorProto["externalData"]): Uint8Array =>
    modelBytes({ name: "g", initializer: [{ name: "w", dims: [1], dataType: 1, dataLocation: 1, externalData: entries }] });
  const reader = { size: 16, read: (offset: number, length: number) => new Uint8Array(length).fill(offset) };

  test("is read in ranges, when asked for", () => {
    const reads: number[] = [];
    const model = readOnnx(external(entry("w.bin", "8")), {
      open: () => ({
        size: 16,
        read: (offset, length) => {
          reads.push(offset);
          return reader.read(offset, length);
        },
      }),
    });
    expect(reads).toEqual([]);
    const tensor = [...model.graph.initializers][0]?.constant as Tensor;
    expect(tensor.bytes()).toEqual(Uint8Array.of(8, 8, 8, 8));
    expect(tensor.external).toEqual({ location: "w.bin", offset: 8, length: 4 });
    expect(encodeOnnx(model).byteLength).toBeGreaterThan(0);
  });

  test.each(["/etc/passwd", "../w.bin", "a/../../w.bin", "C:\\w.bin", "..\\w.bin", "", "*/_ORT_MEM_ADDR_/*", "a\0b"])(
    "location %j is refused",
    (location) => {
      expect(() => readOnnx(external(entry(location)), { open: () => reader })).toThrow(
        expect.objectContaining({ code: "ONNX_EXTERNAL_ESCAPE" }),
      );
    },
  );

  test("ranges must lie in the file and fit the tensor", () => {
    const code = (offset: string, length: string) => {
      try {
        readOnnx(external(entry("w.bin", offset, length)), { open: () => reader });
      } catch (error) {
        return (error as { code: string }).code;
      }
      return undefined;
    };
    expect(code("12", "4")).toBeUndefined();
    expect(code("13", "4")).toBe("ONNX_EXTERNAL_RANGE");
    expect(code("-1", "4")).toBe("ONNX_EXTERNAL_RANGE");
    expect(code("0", "8")).toBe("ONNX_TENSOR_SIZE");
    expect(code("99999999999999999999", "4")).toBe("ONNX_EXTERNAL_RANGE");
  });

  test("without a way to open it, structure can still be read", () => {
    const model = readOnnx(external(entry("w.bin")));
    expect(model.graph.initializers.size).toBe(1);
    const tensor = [...model.graph.initializers][0]?.constant as Tensor;
    expect(() => tensor.bytes()).toThrow(expect.objectContaining({ code: "ONNX_EXTERNAL_CLOSED" }));
  });

  test("tensors are laid out once each, aligned", () => {
    const graph = new Graph("g");
    const shared = new Tensor("float32", [1000], new Uint8Array(4000));
    graph.addInitializer("a", shared);
    graph.addInitializer("b", shared);
    graph.addInitializer("c", new Tensor("uint8", [2000], new Uint8Array(2000).fill(1)));
    graph.addInitializer("small", int64Tensor([1]));
    const file = writeOnnx(new Model({ graph }), { external: { location: "w.data" } });
    expect(file.external?.byteLength).toBe(4032 + 2000);
    const data = joinChunks(file.external?.chunks ?? []);
    const back = readOnnx(joinChunks(file.chunks), {
      open: () => ({ size: data.byteLength, read: (offset, length) => data.subarray(offset, offset + length) }),
    });
    const places = [...back.graph.initializers].map(({ constant }) => constant?.external?.offset);
    expect(places).toEqual([0, 0, 4032, undefined]);
    expect(equalModels(new Model({ graph }), back, { exact: true })).toBe(true);
  });
});

describe("graphs", () => {
  const float = encodeTensorType({ dtype: "float32", shape: ["N"] });
  const info = (name: string) => ({ name, type: float });

  test("nodes out of order are sorted, and keep the file's order where they can", () => {
    const { graph } = read({
      name: "g",
      input: [info("x")],
      output: [info("c")],
      node: [
        { opType: "Relu", input: ["b"], output: ["c"] },
        { opType: "Neg", input: ["x"], output: ["z"] },
        { opType: "Abs", input: ["x"], output: ["b"] },
      ],
    });
    expect(Array.from(graph.nodes, (node) => node.opType)).toEqual(["Abs", "Relu", "Neg"]);
  });

  test("a chain of 100,000 nodes in reverse order is sorted without running out of stack", () => {
    const count = 100_000;
    const node = Array.from({ length: count }, (_, i) => ({
      opType: "Relu",
      input: [`v${count - 1 - i}`],
      output: [`v${count - i}`],
    }));
    const model = read({ name: "g", input: [info("v0")], output: [info(`v${count}`)], node });
    expect(model.graph.nodeCount).toBe(count);
    expect(model.graph.firstNode?.inputs[0]?.name).toBe("v0");
  });

  const broken: [string, GraphProto, string][] = [
    [
      "a cycle",
      {
        node: [
          { opType: "Add", input: ["x", "b"], output: ["a"] },
          { opType: "Relu", input: ["a"], output: ["b"] },
        ],
        input: [info("x")],
      },
      "ONNX_CYCLE",
    ],
    ["a node that reads itself", { node: [{ opType: "Relu", input: ["a"], output: ["a"] }] }, "ONNX_CYCLE"],
    ["an undefined input", { node: [{ opType: "Relu", input: ["gone"], output: ["a"] }] }, "ONNX_UNDEFINED_VALUE"],
    ["an undefined output", { output: [info("gone")] }, "ONNX_UNDEFINED_VALUE"],
    [
      "two definitions",
      {
        input: [info("x")],
        node: [
          { opType: "Relu", input: ["x"], output: ["a"] },
          { opType: "Abs", input: ["x"], output: ["a"] },
        ],
      },
      "ONNX_DUPLICATE_VALUE",
    ],
    ["an input named twice", { input: [info("x"), info("x")] }, "ONNX_DUPLICATE_VALUE"],
    ["an initializer without a name", { initializer: [{ dims: [0], dataType: 1 }] }, "ONNX_NO_NAME"],
    ["a node without an operator", { node: [{ output: ["a"] }] }, "ONNX_NO_NAME"],
    [
      "an attribute of an unknown type",
      { node: [{ opType: "Foo", output: ["a"], attribute: [{ name: "k", type: 77 }] }] },
      "ONNX_ATTRIBUTE",
    ],
    [
      "a sparse tensor without indices",
      { sparseInitializer: [{ values: { name: "s", dims: [0], dataType: 1 } }] },
      "ONNX_SPARSE",
    ],
  ];
  test.each(broken)("%s", (_, graph, code) => {
    expect(() => read({ name: "g", ...graph })).toThrow(expect.objectContaining({ code }));
  });

  test("an inner name that hides an outer one is changed, and the edges stay right", () => {
    const inner: GraphProto = {
      name: "then",
      node: [
        { opType: "Abs", input: ["x"], output: ["a"] },
        { opType: "Relu", input: ["a"], output: ["y"] },
      ],
      output: [info("y")],
    };
    const model = read({
      name: "g",
      input: [info("x"), { name: "c", type: encodeTensorType({ dtype: "bool", shape: [] }) }],
      node: [
        { opType: "Neg", input: ["x"], output: ["a"] },
        { opType: "If", input: ["c"], output: ["y"], attribute: [{ name: "then_branch", type: 5, g: inner }] },
      ],
      output: [info("y"), info("a")],
    });
    verify(model);
    const branch = [...model.graph.nodes][1]?.attributes.get("then_branch");
    const graph = branch?.value as Graph;
    expect(graph.lastNode?.inputs[0]).toBe(graph.firstNode?.output);
    verify(again(model));
  });

  test("IR 3 initializers that are inputs too stay both", () => {
    const model = read(
      {
        name: "g",
        input: [info("w")],
        initializer: [{ name: "w", dims: [1], dataType: 1, rawData: new Uint8Array(4) }],
        output: [info("w")],
      },
      { irVersion: 3 },
    );
    const [w] = model.graph.inputs;
    expect(w?.constant?.shape).toEqual([1]);
    expect(w?.type?.shape).toEqual(["N"]);
    expect(again(model).graph.inputs[0]?.constant?.shape).toEqual([1]);
  });

  test("what the reader does not know survives, byte for byte", () => {
    // field 200, a string, in every message that has a place for it
    const unknown = Uint8Array.of(0xc2, 0x0c, 2, 104, 105);
    const denoted = Uint8Array.of(...encodeTensorType({ dtype: "float32", shape: [3] }), 0x32, 1, 65);
    const file = modelBytes(
      {
        name: "g",
        input: [{ name: "x", type: denoted, docString: "an input", metadataProps: [{ key: "k", value: "v" }] }],
        node: [
          {
            opType: "Foo",
            domain: "my.own",
            overload: "o",
            input: ["x", "", "w"],
            output: ["", "a"],
            docString: "d",
            unknown,
            attribute: [
              { name: "p", type: 4, t: { dims: [0], dataType: 1, rawData: new Uint8Array(), unknown }, unknown },
              { name: "q", type: 2, i: -(2n ** 63n) },
              { name: "r", type: 14, typeProtos: [Uint8Array.of(0x22, 0)] },
            ],
          },
        ],
        initializer: [{ name: "w", dims: [1], dataType: 1, rawData: new Uint8Array(4), unknown }],
        output: [info("a")],
        quantizationAnnotation: [Uint8Array.of(0x0a, 1, 120)],
        metadataProps: [{ key: "a", value: "b" }],
        valueInfo: [{ name: "not in the graph", type: float }],
        unknown,
      },
      { unknown, functions: [], metadataProps: [{ key: "m", value: "n" }], modelVersion: 5, producerName: "p" },
    );
    const back = encodeOnnx(readOnnx(file));
    // the orphaned value_info moves behind the other fields; nothing else may differ
    expect(back.byteLength).toBe(file.byteLength);
    expect(encodeOnnx(readOnnx(back))).toEqual(back);
    expect(encodeOnnx(readOnnx(back).clone())).toEqual(back);
  });
});

describe("what is no model", () => {
  const text = (content: string) => new TextEncoder().encode(content);
  const cases: [string, Uint8Array, string, RegExp][] = [
    ["nothing", new Uint8Array(), "ONNX_EMPTY", /again/],
    ["a web page", text("<!DOCTYPE html><html></html>"), "ONNX_NOT_A_MODEL", /web page/],
    ["a Git LFS pointer", text("version https://git-lfs.github.com/spec/v1\noid sha256:0"), "ONNX_NOT_A_MODEL", /git lfs pull/],
    ["a zip archive", text("PK\x03\x04rest of it"), "ONNX_NOT_A_MODEL", /zip/],
    ["a TensorFlow Lite model", text("\x1c\0\0\0TFL3rest"), "ONNX_NOT_A_MODEL", /Lite/],
    ["a header only", bytesOf({ irVersion: 8, producerName: "p" }), "ONNX_NOT_A_MODEL", /no graph|\.onnx/],
    ["no operator sets", bytesOf({ irVersion: 8, graph: { name: "g" } }), "ONNX_NO_OPSET", /end of the file/],
  ];
  test.each(cases)("%s", (_, bytes, code, hint) => {
    expect(() => readOnnx(bytes)).toThrow(expect.objectContaining({ code, hint: expect.stringMatching(hint) }));
  });

  test("nesting has a limit", () => {
    let graph: GraphProto = { name: "g" };
    for (let i = 0; i < 60; i++)
      graph = { name: "g", node: [{ opType: "If", output: ["y"], attribute: [{ name: "b", type: 5, g: graph }] }] };
    expect(() => read(graph)).toThrow(expect.objectContaining({ code: "ONNX_NESTING" }));
  });
});
