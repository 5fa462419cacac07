import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { bitsOf, isInteger, numel, Tensor, toNumbers } from "../../ir/index.ts";
import { EdgewrightError, fail } from "../../util/errors.ts";
import { checkClassIndex, findClassNames, readClassNames } from "../class-names.ts";
import { defineDataset, type Feature, type RawImage, type RawLabel, type SampleSource } from "../define.ts";
import { namesIn, openBytes, pathKind } from "../files.ts";
import { isNpy, npyElements, npyHeaderBytes, parseNpy, parseNpyHeader } from "../npy.ts";
import { zipEntries } from "../zip.ts";

const options = z.strictObject({
  /** Array that holds the labels; default: y, label, labels, target or targets. */
  labels: z.string().optional(),
  /** Arrays to use as features; default: all others. */
  features: z.array(z.string()).min(1).optional(),
  /** "auto": bytes shaped [N, height, width] or [N, height, width, 1 or 3] are images, all else tensors. */
  as: z.enum(["auto", "image", "tensor"]).default("auto"),
  /** What an integer label means: a class index, or numbers. */
  label: z.enum(["class", "tensor"]).optional(),
  /** File with class names. */
  classes: z.string().optional(),
});
type Options = z.output<typeof options>;

/** One array whose first axis runs over the samples. */
interface NpyArray {
  readonly name: string;
  readonly dtype: Tensor["dtype"];
  readonly shape: readonly number[];
  row(index: number): Promise<Tensor>;
}

const labelNames = ["y", "label", "labels", "target", "targets"];

function rowOf(tensor: Tensor, index: number): Tensor {
  const shape = tensor.shape.slice(1);
  const size = (numel(shape) * bitsOf(tensor.dtype)) / 8;
  return new Tensor(tensor.dtype, shape, tensor.bytes().subarray(index * size, (index + 1) * size));
}

async function openArray(path: string, name: string): Promise<NpyArray> {
  const source = await openBytes(path);
  const header = parseNpyHeader(await source.slice(0, npyHeaderBytes), path);
  if (header.fortranOrder) return inMemory(name, parseNpy(await source.slice(0, source.size), path));
  const shape = header.shape.slice(1);
  const size = (numel(shape) * bitsOf(header.dtype)) / 8;
  const stated = header.start + (numel(header.shape) * bitsOf(header.dtype)) / 8;
  if (source.size < stated)
    throw new EdgewrightError(
      "DATA_CORRUPT",
      `"${path}" states the shape [${header.shape}], but ends ${stated - source.size} bytes too early.`,
      {
        subject: path,
        hint: "Write the file again with numpy.save.",
      },
    );
  return {
    name,
    dtype: header.dtype,
    shape: header.shape,
    row: async (index) =>
      new Tensor(header.dtype, shape, npyElements(header, await source.slice(header.start + index * size, size))),
  };
}

const inMemory = (name: string, tensor: Tensor): NpyArray => ({
  name,
  dtype: tensor.dtype,
  shape: tensor.shape,
  row: async (index) => rowOf(tensor, index),
});

/** Arrays of a .npz are unpacked together; separate .npy files are read row by row. */
const maxArchiveBytes = 2 ** 31;

async function openNpz(path: string): Promise<NpyArray[]> {
  const arrays: NpyArray[] = [];
  const entries = (await zipEntries(await openBytes(path))).filter((entry) => entry.name.endsWith(".npy"));
  const bytes = entries.reduce((sum, entry) => sum + entry.size, 0);
  if (bytes > maxArchiveBytes)
    fail("DATA_TOO_LARGE", `"${path}" unpacks to ${bytes} bytes; at most ${maxArchiveBytes} are held in memory.`, {
      subject: path,
      hint: "Save the arrays as separate .npy files in a folder: these are read row by row.",
    });
  for (const entry of entries)
    arrays.push(inMemory(entry.name.replace(/\.npy$/, ""), parseNpy(await entry.read(), `${path}: ${entry.name}`)));
  return arrays;
}

const arrayName = (file: string): string => basename(file).replace(/\.npy$/i, "");

/** All arrays at the path: the entries of a .npz, the .npy files of a folder, or one .npy and the labels beside it. */
async function openArrays(path: string, asked: Options): Promise<NpyArray[]> {
  if ((await pathKind(path)) === "directory") {
    const files = (await namesIn(path)).filter((name) => /\.npy$/i.test(name));
    return Promise.all(files.map((file) => openArray(join(path, file), arrayName(file))));
  }
  if (/\.npz$/i.test(path)) return openNpz(path);
  const own = arrayName(path);
  const arrays = [await openArray(path, own)];
  const beside = asked.labels ?? labelFileBeside(path, own);
  if (beside !== undefined) {
    const file = join(dirname(path), beside.endsWith(".npy") ? beside : `${beside}.npy`);
    arrays.push(await openArray(file, asked.labels ?? arrayName(file)));
  }
  return arrays;
}

/** x.npy has y.npy, images.npy has labels.npy, train_x.npy has train_y.npy. */
function labelFileBeside(path: string, own: string): string | undefined {
  const swaps: readonly [RegExp, string][] = [
    [/^x$|(?<=[_-])x$|^x(?=[_-])/, "y"],
    [/images?|inputs?|data/, "labels"],
  ];
  const names = swaps.filter(([from]) => from.test(own)).map(([from, to]) => own.replace(from, to));
  return names.find((name) => existsSync(join(dirname(path), `${name}.npy`)));
}

const isLabelName = (name: string): boolean =>
  labelNames.includes(name) || /[_-](y|labels?|targets?)$|^(y|labels?|targets?)[_-]/.test(name);

function imageOf(row: Tensor): RawImage {
  const [height, width, channels = 1] = row.shape as [number, number, number?];
  return { kind: "pixels", pixels: { data: row.bytes(), width, height, channels: channels as 1 | 3 } };
}

function isImageArray(array: NpyArray, as: Options["as"]): boolean {
  const [, , , channels = 1] = array.shape;
  const fits =
    array.dtype === "uint8" && (array.shape.length === 3 || array.shape.length === 4) && (channels === 1 || channels === 3);
  if (as === "image" && !fits)
    fail("DATA_OPTIONS", `"${array.name}" is ${array.dtype}[${array.shape}]; images must be uint8 [N, height, width, 1 or 3].`);
  return as === "tensor" ? false : fits;
}

function labelReader(
  array: NpyArray,
  asked: Options,
  classes: number | undefined,
): { kind: "class" | "tensor"; read(i: number): Promise<RawLabel> } {
  const single = array.shape.length === 1 || (array.shape.length === 2 && array.shape[1] === 1);
  const kind = asked.label ?? (single && (isInteger(array.dtype) || array.dtype === "bool") ? "class" : "tensor");
  if (kind === "class" && !single)
    fail("DATA_LABELS", `"${array.name}" has shape [${array.shape}]; class labels are one number for each sample.`);
  return {
    kind,
    async read(index) {
      const row = await array.row(index);
      if (kind === "tensor") return { kind, tensor: row };
      const value = toNumbers(row)[0] as number;
      checkClassIndex(value, classes, `${array.name}[${index}]`);
      return { kind, index: value };
    },
  };
}

function chooseArrays(
  arrays: readonly NpyArray[],
  asked: Options,
  path: string,
): { features: NpyArray[]; labels: NpyArray | undefined } {
  const named = (name: string): NpyArray =>
    arrays.find((array) => array.name === name) ??
    fail("DATA_OPTIONS", `"${path}" has no array "${name}"; it has ${arrays.map((array) => array.name).join(", ") || "none"}.`, {
      subject: path,
    });
  const labels = asked.labels === undefined ? arrays.find((array) => isLabelName(array.name)) : named(asked.labels);
  const features = asked.features ? asked.features.map(named) : arrays.filter((array) => array !== labels);
  const [first] = features;
  if (!first) fail("DATA_EMPTY", `"${path}" holds no feature arrays.`, { subject: path });
  for (const array of labels ? [...features, labels] : features)
    if (array.shape.length === 0 || array.shape[0] !== first.shape[0])
      fail(
        "DATA_CORRUPT",
        `"${array.name}" in "${path}" has shape [${array.shape}], but "${first.name}" has ${first.shape[0]} samples.`,
        { subject: path, hint: "Leave arrays of another length out with `features`." },
      );
  return { features, labels };
}

async function open(path: string, asked: Options): Promise<SampleSource> {
  const { features, labels } = chooseArrays(await openArrays(path, asked), asked, path);
  const images = new Map(features.map((array) => [array, isImageArray(array, asked.as)]));
  if ([...images.values()].filter(Boolean).length > 1)
    fail("DATA_OPTIONS", `"${path}" holds several image arrays; name the one to use with features, or set as: "tensor".`, {
      subject: path,
    });
  const folder = (await pathKind(path)) === "directory" ? path : dirname(path);
  const classes = asked.classes === undefined ? await findClassNames(folder) : await readClassNames(asked.classes);
  const label = labels && labelReader(labels, asked, classes?.length);
  const length = features[0]?.shape[0] as number;
  const described = features.map((array) => `${array.name} ${array.dtype}[${array.shape}]`).join(", ");
  return {
    summary: `${length} samples: ${described}${labels ? `, labels ${labels.name} ${labels.dtype}[${labels.shape}]` : ", no labels"}`,
    features: features.map(
      (array): Feature => (images.get(array) ? { kind: "image", name: array.name } : { kind: "tensor", name: array.name }),
    ),
    label: label?.kind,
    classes,
    length,
    origin: (index) => `item ${index}`,
    async read(index) {
      const rows = await Promise.all(features.map(async (array) => [array, await array.row(index)] as const));
      const image = rows.find(([array]) => images.get(array))?.[1];
      const tensors = rows.filter(([array]) => !images.get(array)).map(([array, row]) => [array.name, row] as const);
      return {
        origin: `item ${index}`,
        ...(image ? { image: imageOf(image) } : {}),
        ...(tensors.length > 0 ? { tensors: Object.fromEntries(tensors) } : {}),
        ...(label ? { label: await label.read(index) } : {}),
      };
    },
  };
}

/** NumPy arrays: one array for each feature (named as the model's inputs, or x), one for labels. */
export const npy = defineDataset({
  name: "npy",
  summary: "NumPy arrays: .npz, .npy, or a folder of .npy",
  options,
  detect(facts) {
    if (facts.directory)
      return facts.entries.some((name) => /\.npy$/i.test(name))
        ? { confidence: 0.6, why: "is a folder with .npy files" }
        : undefined;
    if (facts.name.endsWith(".npz")) return { confidence: 0.9, why: "is a .npz file" };
    return isNpy(facts.head) ? { confidence: 0.9, why: "begins like a .npy file" } : undefined;
  },
  open,
});
