import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodePng } from "../../src/data/image.ts";
import type { ModelInput, Pixels } from "../../src/data/index.ts";

/** A picture whose pixels are all different from another seed's. */
export function picture(seed: number, width = 12, height = 8, channels: 1 | 3 = 3): Pixels {
  const data = Uint8Array.from({ length: width * height * channels }, (_, i) => (seed * 37 + i * 11) % 256);
  return { data, width, height, channels };
}

export const png = (seed: number, width?: number, height?: number): Promise<Uint8Array> =>
  encodePng(picture(seed, width, height));

/** Writes files by relative path, folders included. */
export async function writeFiles(folder: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}

export const imageInput = (channels = 3, height = 8, width = 12): ModelInput => ({
  name: "input",
  type: { dtype: "float32", shape: ["N", channels, height, width] },
});
export const floatInput = (...shape: (number | string)[]): ModelInput => ({ name: "input", type: { dtype: "float32", shape } });
export const tokenInput = (name: string, length: number | string): ModelInput => ({
  name,
  type: { dtype: "int64", shape: ["N", length] },
});
