import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { noRealData, realModel } from "../../test/real-data.ts";
import { float32Tensor, toFloat32 } from "../ir/index.ts";
import { ortNode } from "./ort-node.ts";
import { ortWeb } from "./ort-web.ts";

describe.skipIf(noRealData)("ort-web", () => {
  const path = realModel("resnet8-cifar10-mlperf");
  const image = float32Tensor(
    [1, 3, 32, 32],
    Float32Array.from({ length: 3072 }, (_, i) => (i * 37) % 256),
  );

  it.each([1, 2])("agrees with ort-node in the same process on %i threads", async (threads) => {
    const native = await ortNode.load(path);
    const web = await ortWeb.load(new Uint8Array(readFileSync(path)), { threads });
    const name = web.inputs[0]?.name as string;
    expect(web.inputs).toEqual(native.inputs);
    const [a, b] = [await native.run({ [name]: image }), await web.run({ [name]: image })];
    const [x, y] = [a, b].map((outputs) => toFloat32(outputs[web.outputNames[0] as string] as never)) as [
      Float32Array,
      Float32Array,
    ];
    // softmax outputs in 0..1; the two builds differ in summation order only
    for (let i = 0; i < x.length; i++) expect(Math.abs((x[i] as number) - (y[i] as number))).toBeLessThan(1e-5);
    await Promise.all([native.release(), web.release()]);
  });

  it("loads from a path in Node", async () => {
    const session = await ortWeb.load(path);
    expect(session.outputNames).toHaveLength(1);
    await session.release();
  });

  it("refuses a second thread count instead of measuring another one", async () => {
    await expect(ortWeb.load(path, { threads: 3 })).rejects.toThrow(/already runs with 2 threads/);
  });

  it("names the runtime when bytes are no model", async () => {
    await expect(ortWeb.load(new Uint8Array([1, 2, 3]))).rejects.toThrow(/onnxruntime-web cannot load/);
    await expect(ortWeb.load(path, { profilePrefix: "x" })).rejects.toThrow(/profile/);
  });

  it("has a version of its own", () => {
    expect(ortWeb.version).toMatch(/^\d+\.\d+/);
  });
});
