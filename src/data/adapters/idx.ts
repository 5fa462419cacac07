import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { type DataType, numel, Tensor } from "../../ir/index.ts";
import { EdgewrightError, fail } from "../../util/errors.ts";
import { checkClassIndex, findClassNames, readClassNames } from "../class-names.ts";
import { defineDataset, type RawSample, type SampleSource } from "../define.ts";
import { type ByteSource, namesIn, openBytes, pathKind } from "../files.ts";

const options = z.strictObject({
  /** File with labels; default: the one whose name fits (…images-idx3… and …labels-idx1…). */
  labels: z.string().optional(),
  /** File with class names. */
  classes: z.string().optional(),
});

const types: Readonly<Record<number, { dtype: DataType; bytes: number }>> = {
  8: { dtype: "uint8", bytes: 1 },
  9: { dtype: "int8", bytes: 1 },
  11: { dtype: "int16", bytes: 2 },
  12: { dtype: "int32", bytes: 4 },
  13: { dtype: "float32", bytes: 4 },
  14: { dtype: "float64", bytes: 8 },
};

interface IdxFile {
  readonly source: ByteSource;
  readonly dtype: DataType;
  readonly bytes: number;
  readonly shape: readonly number[];
  readonly start: number;
}

const corrupt = (path: string, what: string): EdgewrightError =>
  new EdgewrightError("DATA_CORRUPT", `"${path}" ${what}.`, {
    subject: path,
    hint: "Fetch the file again: idx is two zero bytes, a type, the number of axes, their sizes, then the data.",
  });

async function openIdx(path: string): Promise<IdxFile> {
  const source = await openBytes(path);
  const magic = await source.slice(0, 4);
  const type = types[magic[2] ?? 0];
  const rank = magic[3] ?? 0;
  if (magic.length < 4 || magic[0] !== 0 || magic[1] !== 0 || !type || rank === 0 || rank > 8)
    throw corrupt(path, "does not begin like an idx file");
  const header = await source.slice(4, 4 * rank);
  if (header.length < 4 * rank) throw corrupt(path, "ends within its header");
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 * axis));
  const start = 4 + 4 * rank;
  if (source.size - start !== numel(shape) * type.bytes)
    throw corrupt(path, `states the shape [${shape}], ${numel(shape) * type.bytes} bytes, but holds ${source.size - start}`);
  return { source, shape, start, ...type };
}

/** The stored number is big-endian; tensors are little-endian. */
function littleEndian(bytes: Uint8Array, width: number): Uint8Array {
  const copy = bytes.slice();
  if (width > 1) for (let at = 0; at < copy.length; at += width) copy.subarray(at, at + width).reverse();
  return copy;
}

async function row(file: IdxFile, index: number): Promise<Uint8Array> {
  const size = numel(file.shape.slice(1)) * file.bytes;
  return file.source.slice(file.start + index * size, size);
}

const labelsBeside = (path: string): string | undefined => {
  const name = basename(path)
    .replace(/images/i, "labels")
    .replace(/idx\d/i, "idx1");
  const beside = join(dirname(path), name);
  return name !== basename(path) && existsSync(beside) ? beside : undefined;
};

async function imagesFile(path: string): Promise<string> {
  if ((await pathKind(path)) === "file") return path;
  const files = (await namesIn(path)).filter(isImagesName);
  if (files.length === 1) return join(path, files[0] as string);
  return fail("DATA_AMBIGUOUS", `"${path}" holds ${files.length} idx image files: ${files.join(", ") || "none"}.`, {
    subject: path,
    hint: files.length > 0 ? `Give the path of one of them, for example "${join(path, files[0] as string)}".` : undefined,
  } as { subject: string });
}

const isImagesName = (name: string): boolean => /idx[2-9]/i.test(name) && !/labels/i.test(name);

function sampleOf(file: IdxFile, bytes: Uint8Array, origin: string): RawSample {
  const shape = file.shape.slice(1);
  const [height, width, channels = 1] = shape;
  if (file.dtype === "uint8" && (shape.length === 2 || (shape.length === 3 && (channels === 1 || channels === 3))))
    return {
      origin,
      image: {
        kind: "pixels",
        pixels: { data: bytes, width: width as number, height: height as number, channels: channels as 1 | 3 },
      },
    };
  return { origin, tensors: { x: new Tensor(file.dtype, shape, littleEndian(bytes, file.bytes)) } };
}

async function open(path: string, asked: z.output<typeof options>): Promise<SampleSource> {
  const images = await imagesFile(path);
  const file = await openIdx(images);
  const labelsPath = asked.labels ?? labelsBeside(images);
  const labels = labelsPath === undefined ? undefined : await openIdx(labelsPath);
  const length = file.shape[0] as number;
  if (labels && (labels.shape.length !== 1 || labels.shape[0] !== length))
    throw corrupt(labelsPath as string, `has ${labels.shape[0]} labels for the ${length} samples of "${basename(images)}"`);
  const classes = asked.classes === undefined ? await findClassNames(dirname(images)) : await readClassNames(asked.classes);
  const image = sampleOf(file, new Uint8Array(numel(file.shape.slice(1)) * file.bytes), "").image !== undefined;
  return {
    summary: `${length} ${image ? "images" : "tensors"} of [${file.shape.slice(1)}] in idx format, ${labels ? "with" : "without"} labels`,
    features: [image ? { kind: "image", name: "image" } : { kind: "tensor", name: "x" }],
    label: labels ? "class" : undefined,
    classes,
    length,
    origin: (index) => `item ${index}`,
    async read(index) {
      const sample = sampleOf(file, await row(file, index), `item ${index}`);
      if (!labels) return sample;
      const value = readNumber(labels, await row(labels, index));
      checkClassIndex(value, classes?.length, `${labelsPath} item ${index}`);
      return { ...sample, label: { kind: "class", index: value } };
    },
  };
}

function readNumber(file: IdxFile, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { dtype } = file;
  if (dtype === "uint8") return view.getUint8(0);
  if (dtype === "int8") return view.getInt8(0);
  if (dtype === "int16") return view.getInt16(0);
  if (dtype === "int32") return view.getInt32(0);
  return dtype === "float32" ? view.getFloat32(0) : view.getFloat64(0);
}

/** The idx format of MNIST and its relatives (LeCun), plain or gzip. */
export const idx = defineDataset({
  name: "idx",
  summary: "idx file of images with its labels file (.idx3-ubyte, .gz)",
  options,
  detect(facts) {
    if (facts.directory)
      return facts.entries.filter(isImagesName).length > 0 ? { confidence: 0.8, why: "is a folder with idx files" } : undefined;
    const [a, b, type = 0, rank = 0] = facts.head;
    if (a !== 0 || b !== 0 || types[type] === undefined || rank < 2 || rank > 8) return undefined;
    return { confidence: 0.85, why: "begins like an idx file" };
  },
  open,
});
