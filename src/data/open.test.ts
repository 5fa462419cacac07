import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { collect, temporaryFolder } from "../../test/suites/dataset.ts";
import { imageInput, png, writeFiles } from "../../test/suites/dataset-fixtures.ts";
import { int64Tensor, tensorOf } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { adapters } from "./adapters/index.ts";
import { encodeNpy } from "./npy.ts";
import { openDataset } from "./open.ts";
import { prepareSamples } from "./prepare.ts";
import { presets } from "./presets.ts";

describe("opening data", () => {
  const folder = temporaryFolder();
  it("finds the one data file in a folder", async () => {
    const path = await folder.fresh();
    await writeFiles(path, { "data.csv": "a,b,label\n1,2,0\n", "notes.md": "hello" });
    const dataset = await openDataset(path);
    expect(dataset.kind).toBe("csv");
    expect(dataset.folder).toBe(path);
  });
  const failures: readonly [string, Readonly<Record<string, string>>, string, string][] = [
    ["several data files", { "a.csv": "a,b,label\n1,2,0\n", "b.csv": "a,b,label\n1,2,0\n" }, "DATA_AMBIGUOUS", "2 data sets"],
    ["an empty folder", {}, "DATA_UNKNOWN", "is empty"],
    ["nothing known", { "a.docx": "x", "b.pdf": "y" }, "DATA_UNKNOWN", "a.docx"],
  ];
  it.each(failures)("says what is wrong with %s", async (_, files, code, words) => {
    const path = await folder.fresh();
    await writeFiles(path, files);
    await expect(openDataset(path)).rejects.toMatchObject({ code, message: expect.stringContaining(words) });
  });
  it("says what is wrong with the request", async () => {
    await expect(openDataset(folder.path("nowhere"))).rejects.toMatchObject({ code: "DATA_MISSING" });
    await expect(openDataset(folder.path(), { kind: "parquet" })).rejects.toMatchObject({
      code: "DATA_KIND",
      hint: expect.stringContaining("image-folder"),
    });
    const path = await folder.fresh();
    await writeFiles(path, { "a.png": await png(1), "x.npy": encodeNpy(int64Tensor([1])) });
    for (const kind of ["image-folder", "image-pairs", "cifar", "csv", "text", "tokens"])
      for (const wrong of [path, `${path}/a.png`])
        if (!(kind === "image-folder" && wrong === path))
          await expect(openDataset(wrong, { kind })).rejects.toBeInstanceOf(EdgewrightError);
    await expect(openDataset(folder.path(), { onCorrupt: "ignore" as never })).rejects.toMatchObject({ code: "DATA_OPTIONS" });
  });
});

describe("every kind of data", () => {
  it("has tests beside it, and is in the documentation with its options", () => {
    const documentation = readFileSync(new URL("../../docs/data.md", import.meta.url), "utf8");
    for (const { name, options } of adapters) {
      expect(existsSync(new URL(`adapters/${name}.test.ts`, import.meta.url))).toBe(true);
      const keys = Object.keys((options as unknown as { shape: object }).shape);
      const section = documentation.slice(documentation.indexOf(`### ${name}`)).split("\n### ")[0] ?? "";
      for (const key of keys) expect(`${name}: ${section}`).toContain(`\`${key}\``);
    }
    for (const name of Object.keys(presets)) expect(documentation).toContain(`| \`${name}\` |`);
  });
});

describe("damaged files", () => {
  const folder = temporaryFolder();
  const idx = Uint8Array.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
  const whole: Readonly<Record<string, () => Promise<Uint8Array>>> = {
    "x.npy": async () => encodeNpy(tensorOf("uint8", [2, 4, 4, 3], new Uint8Array(96))),
    "y.npy": async () => encodeNpy(int64Tensor([1, 2, 3])),
    "train-images-idx3-ubyte": async () => idx,
    "a.png": () => png(1),
    "a.csv": async () => new TextEncoder().encode('a,b,label\n1,"2",0\n3,4,1\n'),
  };
  it.each(Object.keys(whole))("%s, cut or with flipped bits: read, or one clear error", async (name) => {
    const bytes = await (whole[name] as () => Promise<Uint8Array>)();
    const damage = fc.record({
      length: fc.nat(bytes.length),
      at: fc.nat(bytes.length - 1),
      mask: fc.integer({ min: 0, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ length, at, mask }) => {
        const path = await folder.fresh();
        const damaged = bytes.slice(0, length);
        if (at < length) damaged[at] = (damaged[at] as number) ^ mask;
        await writeFiles(path, { [name]: damaged });
        try {
          const dataset = await openDataset(name === "a.png" ? path : `${path}/${name}`);
          await collect(prepareSamples(dataset, "unit", [imageInput(3, 4, 4)], { limit: 3 }));
        } catch (error) {
          expect(error).toBeInstanceOf(EdgewrightError);
        }
      }),
      { numRuns: 60 },
    );
  });
});
