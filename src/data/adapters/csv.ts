import { dirname, isAbsolute, join } from "node:path";
import { z } from "zod";
import { float32Tensor } from "../../ir/index.ts";
import { EdgewrightError, fail } from "../../util/errors.ts";
import { decodeWaveform } from "../audio-file.ts";
import { LabelColumn } from "../class-labels.ts";
import { findClassNames, readClassNames } from "../class-names.ts";
import { defineDataset, type Feature, type RawSample, type SampleSource } from "../define.ts";
import { audioExtensions, headBytes, headOf, imageExtensions, openTextBytes, readWhole } from "../files.ts";
import { firstRows, indexTable } from "../table.ts";

const column = z.union([z.string(), z.int().nonnegative()]);
const options = z.strictObject({
  /** Default: tab, semicolon or comma, whichever the first rows hold. */
  delimiter: z.string().length(1).optional(),
  /** Whether the first row names the columns. */
  header: z.union([z.boolean(), z.literal("auto")]).default("auto"),
  /** Column with the label, by name or position; null: none. */
  label: column.nullable().optional(),
  /** What numbers in the label column are: class indices or values to predict. */
  labels: z.enum(["class", "value"]).optional(),
  /** Column with file names of images or WAV files, relative to the table. */
  path: column.optional(),
  /** Column with text. */
  text: column.optional(),
  /** Columns with numbers, in the model's order; default: all that are left. */
  values: z.array(column).min(1).optional(),
  /** File with class names. */
  classes: z.string().optional(),
});
type Options = z.output<typeof options>;

const isNumber = (cell: string): boolean => cell.trim() !== "" && Number.isFinite(Number(cell));
/** What stands for a missing number in tables. */
const isNumberOrMissing = (cell: string): boolean => isNumber(cell) || /^\s*(nan|na|null|inf|-inf)?\s*$/i.test(cell);
const isPath = (cell: string): boolean => imageExtensions.test(cell) || audioExtensions.test(cell);

const labelWords = /^(labels?|class|classes|target|y|category|species)$/i;
const pathWords = /^(path|file|filename|file_name|image|audio|wav)$/i;
const textWords = /^(text|sentence|review|content)$/i;

interface Columns {
  readonly header: boolean;
  readonly names: readonly string[];
  readonly label: number | undefined;
  readonly path: number | undefined;
  readonly text: number | undefined;
  readonly values: readonly number[];
}

function guessDelimiter(head: Uint8Array): string {
  const firstLine = new TextDecoder().decode(head).split("\n")[0] ?? "";
  const counts = ["\t", ";", ","].map((mark) => [mark, firstLine.split(mark).length] as const);
  return (counts.sort((a, b) => b[1] - a[1])[0] as readonly [string, number])[0];
}

function hasHeader(rows: readonly string[][], asked: Options["header"]): boolean {
  if (asked !== "auto") return asked;
  const [first = [], ...rest] = rows;
  if (first.some((cell) => isNumber(cell) || isPath(cell))) return false;
  if (first.some((cell) => labelWords.test(cell) || pathWords.test(cell) || textWords.test(cell))) return true;
  return rest.some((row) => row.some(isNumber));
}

/** Decides what each column is for, from its name where there is a header and from the first rows. */
function assignColumns(rows: readonly string[][], asked: Options, path: string): Columns {
  const header = hasHeader(rows, asked.header);
  const body = header ? rows.slice(1) : rows;
  const names = header ? (rows[0] as string[]).map((name) => name.trim()) : (rows[0] ?? []).map((_, i) => String(i));
  const find = (wanted: string | number, role: string): number => {
    const index = typeof wanted === "number" ? wanted : names.indexOf(wanted);
    if (index >= 0 && index < names.length) return index;
    return fail(
      "DATA_OPTIONS",
      `"${path}" has no column ${JSON.stringify(wanted)} for ${role}; its columns are ${names.join(", ")}.`,
      { subject: path },
    );
  };
  const all = (index: number, test: (cell: string) => boolean): boolean =>
    body.length > 0 && body.every((row) => test(row[index] ?? ""));
  const free = names.map((_, i) => i);
  const pick = (test: (index: number) => boolean): number | undefined => free.find(test);
  const named =
    (words: RegExp) =>
    (index: number): boolean =>
      header && words.test(names[index] as string);

  const pathColumn = asked.path !== undefined ? find(asked.path, "path") : pick((i) => all(i, isPath));
  const namedLabel =
    asked.label === null ? undefined : asked.label !== undefined ? find(asked.label, "label") : pick(named(labelWords));
  const textual = (i: number): boolean => i !== pathColumn && i !== namedLabel && !all(i, isNumberOrMissing);
  const sentences = (i: number): boolean => textual(i) && body.some((row) => /\S\s+\S/.test(row[i] ?? ""));
  const text =
    asked.text !== undefined ? find(asked.text, "text") : (pick((i) => textual(i) && named(textWords)(i)) ?? pick(sentences));
  const label = namedLabel ?? (asked.label === null ? undefined : lastColumnLabel(names.length, pathColumn, text, textual));
  const taken = new Set([pathColumn, text, label]);
  const numeric = free.filter((i) => !taken.has(i) && all(i, isNumberOrMissing));
  const values =
    asked.values?.map((wanted) => find(wanted, "values")) ?? (pathColumn === undefined && text === undefined ? numeric : []);
  return { header, names, label, path: pathColumn, text, values };
}

/** Beside a path or a text, and after numbers when it holds words, the last column is the label. */
function lastColumnLabel(
  count: number,
  path: number | undefined,
  text: number | undefined,
  textual: (i: number) => boolean,
): number | undefined {
  const last = count - 1;
  if (last === path || last === text || count < 2) return undefined;
  return path !== undefined || text !== undefined || textual(last) ? last : undefined;
}

function numbersOf(row: readonly string[], columns: Columns, origin: string): Float32Array {
  return Float32Array.from(columns.values, (index) => {
    const cell = row[index] ?? "";
    if (isNumber(cell)) return Number(cell);
    if (isNumberOrMissing(cell)) return Number.NaN;
    throw new EdgewrightError(
      "DATA_CORRUPT",
      `"${origin}" has "${cell.slice(0, 40)}" in column "${columns.names[index]}", where a number is needed.`,
      {
        subject: origin,
        hint: "Correct the cell, or name the columns with numbers in the option `values`.",
      },
    );
  });
}

async function readFileCell(folder: string, cell: string, origin: string): Promise<Partial<RawSample>> {
  const file = isAbsolute(cell) ? cell : join(folder, cell);
  const bytes = await readWhole(file).catch((cause) => {
    throw new EdgewrightError("DATA_CORRUPT", `"${origin}" names the file "${cell}", which cannot be read.`, {
      subject: file,
      hint: "File names in a table are relative to the table's folder.",
      cause,
    });
  });
  return audioExtensions.test(cell) ? { waveform: decodeWaveform(bytes, file) } : { image: { kind: "encoded", bytes } };
}

function featuresOf(columns: Columns, rows: readonly string[][]): Feature[] {
  const body = columns.header ? rows.slice(1) : rows;
  const features: Feature[] = [];
  if (columns.path !== undefined)
    features.push(
      audioExtensions.test(body[0]?.[columns.path] ?? "")
        ? { kind: "waveform", name: "audio" }
        : { kind: "image", name: "image" },
    );
  if (columns.text !== undefined) features.push({ kind: "text", name: "text" });
  if (columns.values.length > 0) features.push({ kind: "tensor", name: "x" });
  return features;
}

const describe = (columns: Columns): string => {
  const name = (index: number | undefined): string => `"${columns.names[index as number]}"`;
  const parts = [
    ...(columns.path === undefined ? [] : [`files from ${name(columns.path)}`]),
    ...(columns.text === undefined ? [] : [`text from ${name(columns.text)}`]),
    ...(columns.values.length === 0 ? [] : [`${columns.values.length} number columns`]),
    columns.label === undefined ? "no label column" : `label from ${name(columns.label)}`,
  ];
  return parts.join(", ");
};

async function open(path: string, asked: Options): Promise<SampleSource> {
  const head = await headOf(path);
  const delimiter = asked.delimiter ?? guessDelimiter(head);
  const rows = firstRows(head, head.length < headBytes, delimiter, path);
  const columns = assignColumns(rows, asked, path);
  const features = featuresOf(columns, rows);
  if (features.length === 0)
    fail(
      "DATA_EMPTY",
      `"${path}" has no column with numbers, text or file names (columns: ${columns.names.join(", ") || "none"}).`,
      {
        subject: path,
        hint: "Name the columns with the options values, text, path and label.",
      },
    );
  const folder = dirname(path);
  const labels = new LabelColumn();
  const skip = columns.header ? 1 : 0;
  const table = await indexTable(await openTextBytes(path), delimiter, (row, index) => {
    if (index >= skip && columns.label !== undefined) labels.see(row[columns.label] ?? "");
  });
  const names = asked.classes === undefined ? await findClassNames(folder) : await readClassNames(asked.classes);
  const reader = columns.label === undefined ? undefined : labels.finish(names, asked.labels);
  return {
    summary: `${table.length - skip} rows: ${describe(columns)}`,
    features,
    label: reader?.kind,
    classes: reader?.classes,
    length: table.length - skip,
    origin: (index) => `row ${index + skip + 1}`,
    async read(index) {
      const origin = `row ${index + skip + 1}`;
      const row = await table.row(index + skip);
      const label = reader?.read(row[columns.label as number] ?? "", `${path} ${origin}`);
      return {
        origin,
        ...(columns.path === undefined ? {} : await readFileCell(folder, row[columns.path] ?? "", `${path} ${origin}`)),
        ...(columns.text === undefined ? {} : { text: row[columns.text] ?? "" }),
        ...(columns.values.length === 0
          ? {}
          : { tensors: { x: float32Tensor([columns.values.length], numbersOf(row, columns, `${path} ${origin}`)) } }),
        ...(label ? { label } : {}),
      };
    },
  };
}

/** Tables: each row holds numbers, a text, or the name of an image or WAV file, and perhaps a label. */
export const csv = defineDataset({
  name: "csv",
  summary: "table of numbers, texts or file names (.csv, .tsv)",
  options,
  detect(facts) {
    if (facts.directory) return undefined;
    if (facts.name.endsWith(".csv")) return { confidence: 0.8, why: "is a .csv file" };
    return facts.name.endsWith(".tsv") ? { confidence: 0.6, why: "is a .tsv file" } : undefined;
  },
  open,
});
