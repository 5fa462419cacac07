import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { encodeOnnx } from "../formats/index.ts";
import { equalModels, fromTypedArray, Graph, Model, parseModel, Tensor } from "../ir/index.ts";
import { fileDigest, loadModel, saveModel } from "./model-file.ts";

const root = await mkdtemp(join(tmpdir(), "edgewright-model-file-"));
afterAll(() => rm(root, { recursive: true, force: true }));
let folder = root;
let count = 0;
beforeEach(async () => {
  folder = join(root, String(count++));
  await mkdir(folder);
});

/** Two weights of 40 kB, one of them read twice. */
function weighted(): Model {
  const graph = new Graph("weighted");
  const x = graph.addInput("x", { dtype: "float32", shape: [100] });
  const weight = (name: string, start: number) =>
    graph.addInitializer(
      name,
      fromTypedArray(
        "float32",
        [100, 100],
        Float32Array.from({ length: 10_000 }, (_, i) => start + i),
      ),
    );
  const [v, w] = [weight("v", 0), weight("w", 0.5)];
  const a = graph.node("MatMul", [x, v], { outputs: ["a"] }).output;
  const b = graph.node("MatMul", [a, w], { outputs: ["b"] }).output;
  graph.addOutput(graph.node("MatMul", [b, v], { outputs: ["y"] }).output);
  return new Model({ graph });
}
const sha256 = async (path: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

describe("saving and loading", () => {
  test("one file: what is said of it is true, and nothing else is left behind", async () => {
    const path = join(folder, "m.onnx");
    const saved = await saveModel(weighted(), path);
    expect(saved).toEqual({ bytes: (await readFile(path)).byteLength, digest: await sha256(path), files: [path] });
    expect(await fileDigest(path)).toBe(saved.digest);
    expect(await readdir(folder)).toEqual(["m.onnx"]);
    expect(await readFile(path)).toEqual(Buffer.from(encodeOnnx(weighted())));
    expect(equalModels(weighted(), await loadModel(path), { exact: true })).toBe(true);
  });

  test("external data goes beside the model and stays external; saving over the files that are read from works", async () => {
    const path = join(folder, "m.onnx");
    const saved = await saveModel(weighted(), path, { externalData: true });
    expect(saved.files).toEqual([path, `${path}.data`]);
    const loaded = await loadModel(path);
    expect([...loaded.graph.initializers].every((value) => value.constant?.external)).toBe(true);
    // reversed, so that every offset changes while the old file is still being read
    const reversed = new Graph("weighted");
    for (const value of [...loaded.graph.initializers].reverse()) reversed.addInitializer(value.name, value.constant as Tensor);
    await saveModel(new Model({ graph: reversed }), path);
    const back = await loadModel(path);
    expect([...back.graph.initializers].map((value) => value.constant?.external?.location)).toEqual([
      "m.onnx.data",
      "m.onnx.data",
    ]);
    const bytesOf = (model: Model, name: string) =>
      [...model.graph.initializers].find((value) => value.name === name)?.constant?.bytes();
    for (const name of ["v", "w"]) expect(bytesOf(back, name)).toEqual(Buffer.from(bytesOf(weighted(), name) as Uint8Array));
    const single = await saveModel(back, join(folder, "single.onnx"), { externalData: false });
    expect(single.files.length).toBe(1);
  });

  test("weights of more than 1.9 GB go to a file of their own, one at a time", async () => {
    const graph = new Graph("huge");
    const block = new Uint8Array(1 << 20);
    let live = 0;
    for (let i = 0; i < 2; i++) {
      // as many bytes as asked for, without holding them: what counts here is the plan, so writing is stopped at the first block
      const source = () => {
        live++;
        return block;
      };
      graph.addInitializer(`w${i}`, new Tensor("uint8", [1 << 30], source));
    }
    await expect(saveModel(new Model({ graph }), join(folder, "m.onnx"))).rejects.toMatchObject({ code: "TENSOR_SIZE" });
    expect(live).toBe(1);
    // a failed write leaves nothing behind
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("files that cannot be used", () => {
  test("no such file, a folder, an empty file", async () => {
    await expect(loadModel(join(folder, "none.onnx"))).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
    await expect(loadModel(folder)).rejects.toMatchObject({ code: "MODEL_NOT_A_FILE" });
    await writeFile(join(folder, "empty.onnx"), "");
    await expect(loadModel(join(folder, "empty.onnx"))).rejects.toMatchObject({ code: "ONNX_EMPTY" });
    await expect(fileDigest(join(folder, "none.onnx"))).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(saveModel(weighted(), join(folder, "no", "such", "m.onnx"))).rejects.toMatchObject({ code: "MODEL_WRITE" });
  });

  test("a sparse file of 1 TB is refused, not read", async () => {
    const path = join(folder, "huge.onnx");
    await writeFile(path, "");
    await truncate(path, 2 ** 40);
    await expect(loadModel(path)).rejects.toMatchObject({ code: "MODEL_TOO_LARGE" });
  });

  test("external data behind a link out of the folder is refused; a link inside it is not", async () => {
    await mkdir(join(folder, "inner"));
    const path = join(folder, "inner", "m.onnx");
    await saveModel(weighted(), path, { externalData: true });
    const data = `${path}.data`;
    const bytes = await readFile(data);
    await rm(data);
    await writeFile(join(folder, "secret.bin"), bytes);
    await symlink(join(folder, "secret.bin"), data);
    await expect(loadModel(path)).rejects.toMatchObject({ code: "ONNX_EXTERNAL_ESCAPE" });
    await rm(data);
    await writeFile(join(folder, "inner", "real.bin"), bytes);
    await symlink("real.bin", data);
    expect(equalModels(weighted(), await loadModel(path), { exact: true })).toBe(true);
  });

  test("external data that is missing, or too short", async () => {
    const path = join(folder, "m.onnx");
    await saveModel(weighted(), path, { externalData: true });
    await truncate(`${path}.data`, 50_000);
    await expect(loadModel(path)).rejects.toMatchObject({ code: "ONNX_EXTERNAL_RANGE" });
    await rm(`${path}.data`);
    await expect(loadModel(path)).rejects.toMatchObject({ code: "ONNX_EXTERNAL_MISSING" });
  });

  test("messages name the file", async () => {
    const path = join(folder, "broken.onnx");
    await writeFile(path, encodeOnnx(parseModel("g (float[2] x) => (float[2] y) { y = Relu (x) }")).subarray(0, 20));
    await expect(loadModel(path)).rejects.toThrow(/^broken\.onnx: The file breaks off at byte \d+/);
  });
});

test("a write can be stopped", async () => {
  const stop = new AbortController();
  stop.abort(new Error("stopped"));
  await expect(saveModel(weighted(), join(folder, "m.onnx"), { signal: stop.signal })).rejects.toThrow("stopped");
  expect(await readdir(folder)).toEqual([]);
});
