import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { fail } from "../../util/errors.ts";
import { decodeWaveform } from "../audio-file.ts";
import { defineDataset, type RawSample, type SampleSource, type Waveform } from "../define.ts";
import { audioExtensions, listFiles, pathKind, readWhole } from "../files.ts";

const options = z.strictObject({
  /** Cuts recordings into pieces of this many seconds; a rest shorter than that is left out. Default: whole recordings. */
  seconds: z.number().positive().optional(),
  /** Uses only this many seconds from the start of each recording. */
  first: z.number().positive().optional(),
  /** Where labels come from. */
  labels: z.enum(["auto", "folders", "none"]).default("auto"),
});
type Options = z.output<typeof options>;

interface Piece {
  readonly file: string;
  /** undefined: the whole recording. */
  readonly index: number | undefined;
}

/** Decodes one recording at a time and keeps the latest, because its pieces are often read one after the other. */
function waveformReader(folder: string, first: number | undefined): (file: string) => Promise<Waveform> {
  let latest: { file: string; waveform: Promise<Waveform> } | undefined;
  const decode = async (file: string): Promise<Waveform> => {
    const whole = decodeWaveform(await readWhole(join(folder, file)), join(folder, file));
    return first === undefined ? whole : { ...whole, samples: whole.samples.subarray(0, Math.floor(first * whole.sampleRate)) };
  };
  return (file) => {
    if (latest?.file !== file) latest = { file, waveform: decode(file) };
    return latest.waveform;
  };
}

async function piecesOf(
  files: readonly string[],
  seconds: number | undefined,
  read: (file: string) => Promise<Waveform>,
): Promise<Piece[]> {
  if (seconds === undefined) return files.map((file) => ({ file, index: undefined }));
  const pieces: Piece[] = [];
  for (const file of files) {
    const { samples, sampleRate } = await read(file);
    const count = Math.floor(samples.length / Math.max(1, Math.round(seconds * sampleRate)));
    for (let index = 0; index < count; index++) pieces.push({ file, index });
  }
  return pieces;
}

async function open(path: string, asked: Options): Promise<SampleSource> {
  const directory = (await pathKind(path)) === "directory";
  const folder = directory ? path : dirname(path);
  const files = directory ? await listFiles(path, audioExtensions) : [basename(path)];
  const nested = files.length > 0 && files.every((file) => file.includes("/"));
  if (asked.labels === "folders" && !nested)
    fail("DATA_LABELS", `"${path}" has recordings outside class folders.`, { subject: path, hint: 'Set labels: "none".' });
  const labelled = nested && asked.labels !== "none";
  const classOf = (file: string): string => file.slice(0, file.indexOf("/"));
  const classes = labelled ? [...new Set(files.map(classOf))] : undefined;
  const read = waveformReader(folder, asked.first);
  const pieces = await piecesOf(files, asked.seconds, read);
  if (files.length > 0 && pieces.length === 0)
    fail("DATA_EMPTY", `No recording in "${path}" lasts ${asked.seconds} seconds.`, {
      subject: path,
      hint: "Set a smaller `seconds`.",
    });
  const origin = ({ file, index }: Piece): string => (index === undefined ? file : `${file} piece ${index + 1}`);
  return {
    summary: `${files.length} WAV files${asked.seconds === undefined ? "" : ` in ${pieces.length} pieces of ${asked.seconds} s`}, ${classes ? `${classes.length} class folders` : "no labels"}`,
    features: [{ kind: "waveform", name: "audio" }],
    label: classes ? "class" : undefined,
    classes,
    length: pieces.length,
    origin: (index) => origin(pieces[index] as Piece),
    async read(position): Promise<RawSample> {
      const piece = pieces[position] as Piece;
      const whole = await read(piece.file);
      const size = Math.round((asked.seconds ?? 0) * whole.sampleRate);
      const waveform =
        piece.index === undefined
          ? whole
          : { ...whole, samples: whole.samples.subarray(piece.index * size, (piece.index + 1) * size) };
      const sample = { origin: origin(piece), waveform };
      return classes ? { ...sample, label: { kind: "class", index: classes.indexOf(classOf(piece.file)) } } : sample;
    },
  };
}

/** WAV files: one, a folder of them, or class folders. */
export const audio = defineDataset({
  name: "audio",
  summary: "WAV files, in class folders or not",
  options,
  async detect(facts) {
    if (!facts.directory) return audioExtensions.test(facts.name) ? { confidence: 0.9, why: "is a .wav file" } : undefined;
    const [first] = await listFiles(facts.path, audioExtensions, 3);
    return first === undefined ? undefined : { confidence: 0.65, why: "is a folder with WAV files" };
  },
  open,
});
