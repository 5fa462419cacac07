import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { float32Tensor, toFloat32 } from "../../src/ir/index.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { seededRandom } from "../../src/util/random.ts";
import { type FileServer, launchBrowser, noBrowser, ortWebFolder, serveFiles } from "./browser.ts";
import { example, inTemporaryFolder, runCli } from "./run-cli.ts";

const shape = [2, 3, 48, 48];
const random = seededRandom(1);
const image = Array.from({ length: shape.reduce((a, b) => a * b) }, () => random() * 2 - 1);

/** What a page of a user's does, as docs and report say it. */
function pageProgram(model: string): string {
  return `(async () => {
    const ort = await import("/ort/ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = "/ort/";
    const session = await ort.InferenceSession.create(${JSON.stringify(model)});
    const image = new ort.Tensor("float32", Float32Array.from(${JSON.stringify(image)}), ${JSON.stringify(shape)});
    const { logits } = await session.run({ image });
    return { isolated: crossOriginIsolated, logits: Array.from(logits.data) };
  })()`;
}

describe.skipIf(noBrowser)("in a browser", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser?.close());

  async function logitsInPage(server: FileServer, model: string): Promise<number[]> {
    const page = await browser.newPage();
    await page.goto(server.url);
    const result = (await page.evaluate(pageProgram(model))) as { isolated: boolean; logits: number[] };
    await page.close();
    expect(result.isolated).toBe(true);
    return result.logits;
  }

  it("gives the outputs that onnxruntime-node gives, before and after simplify", () =>
    inTemporaryFolder(async (folder) => {
      const simple = join(folder, "simple.onnx");
      expect((await runCli(["simplify", join(example, "model.onnx"), "-o", simple])).code).toBe(0);
      const session = await ortNode.load(join(example, "model.onnx"));
      const { logits } = await session.run({ image: float32Tensor(shape, image) });
      await session.release();
      const expected = Array.from(toFloat32(logits as never));
      const scale = Math.max(...expected.map(Math.abs));
      const server = await serveFiles({ "/ort/": ortWebFolder, "/example/": example, "/out/": folder });
      for (const model of ["/example/model.onnx", "/out/simple.onnx"]) {
        const found = await logitsInPage(server, model);
        expect(found).toHaveLength(expected.length);
        const differences = found.map((value, i) => Math.abs(value - (expected[i] as number)) / scale);
        // float32 sums in another order: the sums run over at most 2400 products of 24-bit numbers
        expect(Math.max(...differences)).toBeLessThan(1e-5);
      }
      await server.close();
    }));
});
