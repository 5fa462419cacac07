import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { EdgewrightError, fail } from "../util/errors.ts";
import { adapters } from "./adapters/index.ts";
import type { Dataset } from "./dataset.ts";
import type { DatasetAdapter, Detection, PathFacts, RawSample, SampleSource } from "./define.ts";
import { headOf, namesIn, pathKind, plainName } from "./files.ts";
import { describeIssues } from "./issues.ts";

const commonOptions = z.object({
  /** Adapter's name; default: found out from the path. */
  kind: z.string().optional(),
  /** What to do with samples that cannot be read or decoded. */
  onCorrupt: z.enum(["fail", "skip"]).default("fail"),
  /** Added to every class index (1 for models whose class 0 is "background"). */
  labelOffset: z.int().default(0),
});
/** Options of every kind of data; the rest belongs to the adapter (docs/data.md). */
export type OpenOptions = z.input<typeof commonOptions> & Readonly<Record<string, unknown>>;

const maxEntries = 5000;

async function factsOf(path: string): Promise<PathFacts> {
  const directory = (await pathKind(path)) === "directory";
  const names = directory ? await namesIn(path) : [];
  return {
    path,
    directory,
    name: plainName(path),
    entries: names.slice(0, maxEntries),
    head: directory ? new Uint8Array() : await headOf(path),
  };
}

const kindsLine = (): string => `Kinds: ${adapters.map((adapter) => adapter.name).join(", ")}.`;

function adapterNamed(name: string): DatasetAdapter {
  return (
    adapters.find((adapter) => adapter.name === name) ??
    fail("DATA_KIND", `There is no kind of data "${name}".`, { hint: kindsLine() })
  );
}

interface Guess {
  readonly adapter: DatasetAdapter;
  readonly detection: Detection;
  readonly path: string;
}

async function guesses(facts: PathFacts): Promise<Guess[]> {
  const found: Guess[] = [];
  for (const adapter of adapters) {
    const detection = await adapter.detect(facts);
    if (detection) found.push({ adapter, detection, path: facts.path });
  }
  return found.sort((a, b) => b.detection.confidence - a.detection.confidence);
}

/** A folder that is no data set itself but holds exactly one file that is: that one. */
async function guessInside(facts: PathFacts): Promise<Guess> {
  const inside: Guess[] = [];
  for (const entry of facts.entries.slice(0, 100)) {
    const path = join(facts.path, entry);
    if ((await pathKind(path)) === "directory") continue;
    const [best] = await guesses(await factsOf(path));
    if (best && best.detection.confidence >= 0.5) inside.push(best);
  }
  if (inside.length === 1) return inside[0] as Guess;
  const names = inside.map((guess) => `"${basename(guess.path)}" (${guess.adapter.name})`);
  if (names.length > 1)
    fail("DATA_AMBIGUOUS", `"${facts.path}" holds ${names.length} data sets: ${names.slice(0, 6).join(", ")}.`, {
      subject: facts.path,
      hint: `Give the path of one of them, for example "${(inside[0] as Guess).path}".`,
    });
  return fail("DATA_UNKNOWN", unknownSentence(facts), {
    subject: facts.path,
    hint: `Name the kind of data with kind. ${kindsLine()}`,
  });
}

const unknownSentence = (facts: PathFacts): string =>
  !facts.directory
    ? `"${facts.path}" is no data file of a known kind.`
    : facts.entries.length === 0
      ? `The folder "${facts.path}" is empty.`
      : `The folder "${facts.path}" holds no data of a known kind (it holds ${facts.entries.slice(0, 5).join(", ")}${facts.entries.length > 5 ? ", …" : ""}).`;

async function detect(path: string): Promise<Guess> {
  const facts = await factsOf(path);
  const [best, next] = await guesses(facts);
  if (!best && facts.directory) return guessInside(facts);
  if (!best)
    return fail("DATA_UNKNOWN", unknownSentence(facts), {
      subject: path,
      hint: `Name the kind of data with kind. ${kindsLine()}`,
    });
  if (next && best.detection.confidence - next.detection.confidence < 0.1)
    fail(
      "DATA_AMBIGUOUS",
      `"${path}" may be ${best.adapter.name} (it ${best.detection.why}) or ${next.adapter.name} (it ${next.detection.why}).`,
      { subject: path, hint: `Say which with kind: "${best.adapter.name}" or "${next.adapter.name}".` },
    );
  return best;
}

function parseOptions(adapter: DatasetAdapter, options: unknown): unknown {
  const parsed = adapter.options.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new EdgewrightError("DATA_OPTIONS", `Options for ${adapter.name} data are not valid: ${describeIssues(parsed.error)}.`, {
    hint: "docs/data.md lists the options of every kind of data.",
  });
}

/**
 * Opens a file or folder of data. Without `kind` it is found out, and the summary says what was seen. Options beyond `kind`, `onCorrupt`
 * and `labelOffset` go to the adapter, which rejects those it does not know.
 */
export async function openDataset(path: string, options: OpenOptions = {}): Promise<Dataset> {
  const { kind, onCorrupt, labelOffset, ...own } = options;
  const common = commonOptions.safeParse({ kind, onCorrupt, labelOffset });
  if (!common.success) throw new EdgewrightError("DATA_OPTIONS", `Data options are not valid: ${describeIssues(common.error)}.`);
  const absolute = resolve(path);
  const directory = (await pathKind(absolute)) === "directory";
  const guess = kind === undefined ? await detect(absolute) : undefined;
  const adapter = guess?.adapter ?? adapterNamed(kind as string);
  const found = guess?.path ?? absolute;
  const source = await adapter.open(found, parseOptions(adapter, own));
  if (source.length === 0) fail("DATA_EMPTY", `"${path}" holds no samples (read as ${adapter.name}).`, { subject: path });
  const why = guess ? `, because it ${guess.detection.why}` : "";
  const folder = directory ? absolute : dirname(found);
  return asDataset(source, { ...common.data, path: found, folder, kind: adapter.name, why });
}

type Opened = { path: string; folder: string; kind: string; why: string; onCorrupt: "fail" | "skip"; labelOffset: number };

function asDataset(source: SampleSource, opened: Opened): Dataset {
  const { path, folder, kind, onCorrupt, labelOffset } = opened;
  const shift = (sample: RawSample): RawSample =>
    sample.label?.kind === "class" ? { ...sample, label: { kind: "class", index: sample.label.index + labelOffset } } : sample;
  return {
    name: basename(path),
    path,
    folder,
    kind,
    onCorrupt,
    summary: `${source.summary} (read as ${kind}${opened.why})`,
    features: source.features,
    label: source.label,
    classes: source.classes,
    length: source.length,
    origin: (index) => source.origin(index),
    sample: async (index) => {
      if (!(Number.isInteger(index) && index >= 0 && index < source.length))
        fail("DATA_INDEX", `"${path}" has ${source.length} samples; there is no sample ${index}.`);
      const sample = await source.read(index);
      return labelOffset === 0 ? sample : shift(sample);
    },
  };
}
