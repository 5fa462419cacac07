import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { Box } from "../../ir/index.ts";
import { EdgewrightError, fail } from "../../util/errors.ts";
import { checkClassIndex, findClassNames, readClassNames } from "../class-names.ts";
import { defineDataset, type RawLabel, type SampleSource } from "../define.ts";
import { imageExtensions, listFiles, namesIn, pathKind, readText, readWhole } from "../files.ts";
import { describeIssues } from "../issues.ts";

const options = z.strictObject({
  /** COCO JSON file; default: the one in the folder or in annotations/. */
  annotations: z.string().optional(),
  /** Folder with the images, relative to the data; default: images/, else the folder itself. */
  images: z.string().optional(),
  /** File with class names (YOLO labels; COCO JSON has its own). */
  classes: z.string().optional(),
  /** Turns boxes into a yes/no label: 1 when a box of this class covers more than `minArea` of the image. */
  presence: z
    .strictObject({ class: z.union([z.int().nonnegative(), z.string()]), minArea: z.number().min(0).max(1).default(0) })
    .optional(),
});
type Options = z.output<typeof options>;

const fileSchema = z.object({
  images: z.array(
    z.object({
      id: z.union([z.int(), z.string()]),
      file_name: z.string(),
      width: z.number().positive().optional(),
      height: z.number().positive().optional(),
    }),
  ),
  annotations: z.array(
    z.object({
      image_id: z.union([z.int(), z.string()]),
      category_id: z.int(),
      bbox: z.tuple([z.number(), z.number(), z.number(), z.number()]),
      iscrowd: z.union([z.literal(0), z.literal(1), z.boolean()]).optional(),
    }),
  ),
  categories: z.array(z.object({ id: z.int(), name: z.string() })),
});

interface Annotated {
  readonly file: string;
  /** Reads the boxes; `relative` as in RawLabel. */
  boxes(): Promise<{ readonly boxes: readonly Box[]; readonly relative: boolean }>;
}
interface Annotations {
  readonly summary: string;
  readonly folder: string;
  readonly classes: readonly string[] | undefined;
  readonly samples: readonly Annotated[];
}

/** "class cx cy w h", relative to the image, one box a line. */
function parseYolo(text: string, classes: number | undefined, path: string): Box[] {
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "")
    .map((line, i) => {
      const numbers = line.trim().split(/\s+/).map(Number);
      const [classIndex, cx, cy, width, height] = numbers as [number, number, number, number, number];
      if (numbers.length !== 5 || !numbers.every(Number.isFinite) || width < 0 || height < 0)
        throw new EdgewrightError(
          "DATA_CORRUPT",
          `Line ${i + 1} of "${path}" is "${line.slice(0, 60)}"; "class cx cy width height" was expected.`,
          {
            subject: path,
            hint: "Boxes are relative to the image, 0 to 1.",
          },
        );
      checkClassIndex(classIndex, classes, `${path} line ${i + 1}`);
      return { classIndex, x: cx - width / 2, y: cy - height / 2, width, height };
    });
}

const labelFile = (imagesFolder: string, file: string): readonly string[] => {
  const name = file.replace(imageExtensions, ".txt");
  return [join(dirname(imagesFolder), "labels", name), join(imagesFolder, name)];
};

async function openYolo(folder: string, asked: Options): Promise<Annotations> {
  const imagesFolder = join(folder, asked.images ?? (existsSync(join(folder, "images")) ? "images" : "."));
  const files = await listFiles(imagesFolder, imageExtensions);
  const classes = asked.classes === undefined ? await findClassNames(folder) : await readClassNames(asked.classes);
  const found = files.map((file) => labelFile(imagesFolder, file).find((path) => existsSync(path)));
  if (files.length > 0 && !found.some((path) => path !== undefined))
    fail("DATA_LABELS", `"${folder}" has no label file for any of its ${files.length} images.`, {
      subject: folder,
      hint: "YOLO labels lie in labels/ beside images/, or beside each image, with the ending .txt.",
    });
  const without = found.filter((path) => path === undefined).length;
  const samples = files.map((file, i) => ({
    file,
    boxes: async () => {
      const path = found[i];
      // an image without a label file has no objects
      return { boxes: path === undefined ? [] : parseYolo(await readText(path), classes?.length, path), relative: true };
    },
  }));
  const summary = `${files.length} images with YOLO boxes${without > 0 ? ` (${without} without a label file: no objects)` : ""}`;
  return { summary, folder: imagesFolder, classes, samples };
}

async function parseCoco(path: string): Promise<z.output<typeof fileSchema>> {
  let value: unknown;
  try {
    value = JSON.parse(await readText(path));
  } catch (cause) {
    if (cause instanceof EdgewrightError) throw cause;
    throw new EdgewrightError("DATA_CORRUPT", `"${path}" is not JSON: ${(cause as Error).message}.`, { subject: path, cause });
  }
  const parsed = fileSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new EdgewrightError("DATA_CORRUPT", `"${path}" is not in COCO's form: ${describeIssues(parsed.error)}.`, {
    subject: path,
    hint: "It needs images, annotations (image_id, category_id, bbox) and categories.",
  });
}

/** Categories count in the order of their ids: COCO's ids have gaps, models' outputs have none. */
async function openCoco(folder: string, annotations: string, asked: Options): Promise<Annotations> {
  const file = await parseCoco(annotations);
  const categories = [...file.categories].sort((a, b) => a.id - b.id);
  const indexOf = new Map(categories.map((category, i) => [category.id, i]));
  const boxesOf = new Map<number | string, Box[]>(file.images.map((image) => [image.id, []]));
  for (const { image_id, category_id, bbox, iscrowd } of file.annotations) {
    const classIndex = indexOf.get(category_id);
    if (classIndex === undefined)
      fail(
        "DATA_LABEL_RANGE",
        `"${annotations}" has a box of category ${category_id}, which is not among its ${categories.length} categories.`,
        {
          subject: annotations,
        },
      );
    // a crowd region stands for many objects; it is no single box to be found
    if (iscrowd) continue;
    const [x, y, width, height] = bbox;
    boxesOf.get(image_id)?.push({ classIndex, x, y, width, height });
  }
  const places = [asked.images, "images", "."].filter((place) => place !== undefined).map((place) => join(folder, place));
  const first = file.images[0]?.file_name ?? "";
  const imagesFolder = places.find((place) => existsSync(join(place, first))) ?? (places[0] as string);
  const samples = file.images.map((image): Annotated => {
    const boxes = boxesOf.get(image.id) ?? [];
    const { width, height } = image;
    if (width === undefined || height === undefined)
      return { file: image.file_name, boxes: async () => ({ boxes, relative: false }) };
    return {
      file: image.file_name,
      boxes: async () => ({ boxes: boxes.map((box) => scaled(box, 1 / width, 1 / height)), relative: true }),
    };
  });
  const classes = categories.map((category) => category.name);
  return {
    summary: `${samples.length} images with COCO boxes of ${classes.length} categories`,
    folder: imagesFolder,
    classes,
    samples,
  };
}

const scaled = (box: Box, x: number, y: number): Box => ({
  classIndex: box.classIndex,
  x: box.x * x,
  y: box.y * y,
  width: box.width * x,
  height: box.height * y,
});

async function findAnnotations(folder: string): Promise<string | undefined> {
  const found: string[] = [];
  for (const place of [folder, join(folder, "annotations")]) {
    if (!existsSync(place)) continue;
    for (const name of await namesIn(place)) if (/\.json$/i.test(name)) found.push(join(place, name));
  }
  if (found.length <= 1) return found[0];
  return fail("DATA_AMBIGUOUS", `"${folder}" holds ${found.length} JSON files: ${found.slice(0, 4).join(", ")}.`, {
    subject: folder,
    hint: "Say which holds the boxes with the option `annotations`.",
  });
}

function presenceOf(
  asked: NonNullable<Options["presence"]>,
  classes: readonly string[] | undefined,
): (label: { boxes: readonly Box[]; relative: boolean }) => RawLabel {
  const wanted = typeof asked.class === "number" ? asked.class : (classes?.indexOf(asked.class) ?? -1);
  if (wanted < 0) fail("DATA_OPTIONS", `There is no class "${asked.class}"; classes: ${classes?.join(", ") ?? "unnamed"}.`);
  return ({ boxes, relative }) => {
    if (!relative) fail("DATA_OPTIONS", "`presence` needs the width and height of every image in the COCO file.");
    const present = boxes.some((box) => box.classIndex === wanted && box.width * box.height > asked.minArea);
    return { kind: "class", index: present ? 1 : 0 };
  };
}

async function open(path: string, asked: Options): Promise<SampleSource> {
  const json = (await pathKind(path)) === "file";
  const folder = json ? dirname(path) : path;
  const annotations = json
    ? path
    : asked.annotations === undefined
      ? await findAnnotations(folder)
      : join(folder, asked.annotations);
  // a COCO file in annotations/ names images that lie one folder above
  const base =
    json && !existsSync(join(folder, asked.images ?? "images")) && existsSync(join(dirname(folder), "images"))
      ? dirname(folder)
      : folder;
  const found = annotations === undefined ? await openYolo(folder, asked) : await openCoco(base, annotations, asked);
  const presence = asked.presence && presenceOf(asked.presence, found.classes);
  const { class: wanted } = asked.presence ?? {};
  return {
    summary: presence ? `${found.summary}, labelled by whether class ${wanted} is present` : found.summary,
    features: [{ kind: "image", name: "image" }],
    label: presence ? "class" : "boxes",
    classes: presence ? [`no ${wanted}`, String(wanted)] : found.classes,
    length: found.samples.length,
    origin: (index) => (found.samples[index] as Annotated).file,
    async read(index) {
      const sample = found.samples[index] as Annotated;
      const boxes = await sample.boxes();
      return {
        origin: sample.file,
        image: { kind: "encoded", bytes: await readWhole(join(found.folder, sample.file)) },
        label: presence ? presence(boxes) : { kind: "boxes", ...boxes },
      };
    },
  };
}

/** Images with boxes: YOLO text files in labels/ or beside the images, or a COCO JSON file. */
export const coco = defineDataset({
  name: "coco",
  summary: "images with boxes: YOLO txt labels, or COCO JSON",
  options,
  async detect(facts) {
    if (!facts.directory) {
      const head = new TextDecoder().decode(facts.head);
      const fits = facts.name.endsWith(".json") && /"(images|annotations|categories|info|licenses)"\s*:/.test(head);
      return fits ? { confidence: 0.8, why: "is a JSON file with COCO's sections" } : undefined;
    }
    const { entries } = facts;
    if (entries.includes("images") && entries.includes("labels"))
      return { confidence: 0.95, why: "is a folder with images/ and labels/" };
    if (entries.includes("annotations") && (await listFiles(join(facts.path, "annotations"), /\.json$/i, 0)).length > 0)
      return { confidence: 0.9, why: "is a folder with annotations/" };
    const texts = new Set(entries.filter((name) => name.endsWith(".txt")));
    const pictures = entries.filter((name) => imageExtensions.test(name));
    const paired = pictures.filter((name) => texts.has(name.replace(imageExtensions, ".txt"))).length;
    if (pictures.length > 0 && paired >= pictures.length / 2)
      return { confidence: 0.9, why: "is a folder whose images have .txt files beside them" };
    return undefined;
  },
  open,
});
