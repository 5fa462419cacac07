import { join } from "node:path";
import { z } from "zod";
import { fail } from "../../util/errors.ts";
import { checkClassIndex, findClassNames, readClassNames } from "../class-names.ts";
import { defineDataset, type SampleSource } from "../define.ts";
import { imageExtensions, listFiles, readWhole, subfolders } from "../files.ts";

const options = z.strictObject({
  /** Where labels come from: names of sub-folders, a number before the file name ("12_cat.jpg"), or nowhere. */
  labels: z.enum(["auto", "folders", "prefix", "none"]).default("auto"),
  /** File with class names. */
  classes: z.string().optional(),
});
type Options = z.output<typeof options>;

const prefix = /^(\d{1,9})[_-]/;
const fileName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
const splitNames = new Set(["train", "training", "val", "valid", "validation", "test", "dev"]);

/** One folder inside and nothing else: that one is meant. */
async function innermost(folder: string): Promise<string> {
  for (let at = folder, depth = 0; depth < 4; depth++) {
    const folders = await subfolders(at);
    if (folders.length !== 1 || (await listFiles(at, imageExtensions, 0)).length > 0) return at;
    at = join(at, folders[0] as string);
  }
  return folder;
}

/** Class folders named by numbers keep these numbers; others are numbered in the order of their names. */
function numberClasses(names: readonly string[]): {
  indexOf: ReadonlyMap<string, number>;
  classes: readonly string[];
  how: string;
} {
  if (names.every((name) => /^\d{1,6}$/.test(name))) {
    const count = Math.max(...names.map(Number)) + 1;
    const classes = Array.from({ length: count }, (_, i) => String(i));
    return { indexOf: new Map(names.map((name) => [name, Number(name)])), classes, how: "numbered by folder name" };
  }
  return { indexOf: new Map(names.map((name, i) => [name, i])), classes: names, how: "sorted by folder name" };
}

function openFolders(folder: string, files: readonly string[], named: readonly string[] | undefined): SampleSource {
  const loose = files.find((file) => !file.includes("/"));
  if (loose !== undefined)
    fail("DATA_LABELS", `"${loose}" lies outside the class folders of "${folder}".`, {
      subject: join(folder, loose),
      hint: 'Move it into its class\'s folder, or open the data with labels: "none".',
    });
  const classOf = (file: string): string => file.slice(0, file.indexOf("/"));
  const names = [...new Set(files.map(classOf))];
  const parts = names.filter((name) => splitNames.has(name.toLowerCase()));
  if (parts.length > 0 && parts.length === names.length)
    fail("DATA_AMBIGUOUS", `"${folder}" holds the parts ${parts.join(", ")}, not class folders.`, {
      subject: folder,
      hint: `Give the path of one part, for example "${join(folder, parts[0] as string)}".`,
    });
  const numbered = numberClasses(names);
  const classes = named ?? numbered.classes;
  return source(folder, files, `${files.length} images in ${names.length} class folders, ${numbered.how}`, classes, (file) => {
    const index = numbered.indexOf.get(classOf(file)) as number;
    checkClassIndex(index, classes.length, file);
    return index;
  });
}

function openPrefixed(folder: string, files: readonly string[], classes: readonly string[] | undefined): SampleSource {
  const numberOf = (file: string): number => Number(prefix.exec(fileName(file))?.[1] ?? Number.NaN);
  const odd = files.find((file) => Number.isNaN(numberOf(file)));
  if (odd !== undefined)
    fail("DATA_LABELS", `"${odd}" has no class number before its name.`, {
      subject: join(folder, odd),
      hint: 'Name files "<class number>_<name>", or open the data with labels: "none".',
    });
  return source(folder, files, `${files.length} images, class number before the file name`, classes, (file) => {
    checkClassIndex(numberOf(file), classes?.length, file);
    return numberOf(file);
  });
}

function source(
  folder: string,
  files: readonly string[],
  summary: string,
  classes: readonly string[] | undefined,
  classOf: ((file: string) => number) | undefined,
): SampleSource {
  return {
    summary,
    features: [{ kind: "image", name: "image" }],
    label: classOf ? "class" : undefined,
    classes,
    length: files.length,
    origin: (index) => files[index] as string,
    async read(index) {
      const file = files[index] as string;
      const image = { kind: "encoded", bytes: await readWhole(join(folder, file)) } as const;
      return classOf ? { origin: file, image, label: { kind: "class", index: classOf(file) } } : { origin: file, image };
    },
  };
}

async function open(path: string, { labels, classes }: Options): Promise<SampleSource> {
  const folder = await innermost(path);
  const files = await listFiles(folder, imageExtensions);
  if (files.length === 0)
    fail("DATA_EMPTY", `The folder "${folder}" holds no images.`, {
      subject: folder,
      hint: "Images are jpg, png, webp, gif, tiff, avif.",
    });
  const named = classes === undefined ? await findClassNames(folder) : await readClassNames(classes);
  const nested = files.some((file) => file.includes("/"));
  if (labels === "folders" || (labels === "auto" && nested))
    return openFolders(folder, files, classes === undefined ? undefined : named);
  const numbered = files.every((file) => prefix.test(fileName(file)));
  if (labels === "prefix" || (labels === "auto" && numbered)) return openPrefixed(folder, files, named);
  return source(folder, files, `${files.length} images without labels`, undefined, undefined);
}

export const imageFolder = defineDataset({
  name: "image-folder",
  summary: 'images in class folders, images named "<class>_<name>", or images without labels',
  options,
  async detect(facts) {
    if (!facts.directory) return undefined;
    if (facts.entries.some((name) => imageExtensions.test(name))) return { confidence: 0.7, why: "is a folder with images" };
    const [first] = await listFiles(facts.path, imageExtensions, 3);
    return first === undefined ? undefined : { confidence: 0.7, why: "is a folder whose sub-folders hold images" };
  },
  open,
});
