import { join } from "node:path";
import { z } from "zod";
import { fail } from "../../util/errors.ts";
import { defineDataset } from "../define.ts";
import { imageExtensions, listFiles, readWhole, subfolders } from "../files.ts";

const options = z.strictObject({
  /** Sub-folder with what the model gets. */
  input: z.string().optional(),
  /** Sub-folder with what it should give; same file names, the ending may differ. */
  target: z.string().optional(),
});

const usualNames: readonly (readonly [string, string])[] = [
  ["input", "target"],
  ["inputs", "targets"],
  ["lr", "hr"],
  ["LR", "HR"],
  ["noisy", "clean"],
];
const usual = (entries: readonly string[]): readonly [string, string] | undefined =>
  usualNames.find(([input, target]) => entries.includes(input) && entries.includes(target));

const stem = (file: string): string => file.replace(imageExtensions, "");

/** Pairs of pictures, the second being what the model should make of the first (super-resolution, denoising, colouring). */
export const imagePairs = defineDataset({
  name: "image-pairs",
  summary: "two folders of images with the same names: input and target",
  options,
  detect(facts) {
    const names = facts.directory ? usual(facts.entries) : undefined;
    return names ? { confidence: 0.85, why: `is a folder with ${names[0]}/ and ${names[1]}/` } : undefined;
  },
  async open(path, asked) {
    const found = usual(await subfolders(path)) ?? ["input", "target"];
    const names = [asked.input ?? found[0], asked.target ?? found[1]] as const;
    const [inputs, targets] = await Promise.all(names.map((name) => listFiles(join(path, name), imageExtensions)));
    const targetOf = new Map((targets as string[]).map((file) => [stem(file), file]));
    const files = inputs as string[];
    const alone = files.find((file) => !targetOf.has(stem(file)));
    if (alone !== undefined)
      fail("DATA_LABELS", `"${names[0]}/${alone}" has no partner in "${names[1]}/".`, {
        subject: join(path, names[0], alone),
        hint: "Both folders need files of the same names.",
      });
    return {
      summary: `${files.length} pairs of images from ${names[0]}/ and ${names[1]}/`,
      features: [{ kind: "image", name: "image" }],
      label: "image",
      length: files.length,
      origin: (index) => files[index] as string,
      async read(index) {
        const file = files[index] as string;
        const target = targetOf.get(stem(file)) as string;
        return {
          origin: file,
          image: { kind: "encoded", bytes: await readWhole(join(path, names[0], file)) },
          label: { kind: "image", image: { kind: "encoded", bytes: await readWhole(join(path, names[1], target)) } },
        };
      },
    };
  },
});
