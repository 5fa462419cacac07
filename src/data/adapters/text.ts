import { dirname } from "node:path";
import { z } from "zod";
import { fail } from "../../util/errors.ts";
import { LabelColumn } from "../class-labels.ts";
import { findClassNames, readClassNames } from "../class-names.ts";
import { defineDataset, type SampleSource } from "../define.ts";
import { audioExtensions, headBytes, imageExtensions, openTextBytes } from "../files.ts";
import { indexLines } from "../lines.ts";

const options = z.strictObject({
  /** Where the label stands: after the last tab, before the first, or nowhere. "auto": after the last tab if all first lines have one. */
  label: z.enum(["auto", "last", "first", "none"]).default("auto"),
  /** What number labels are: class indices or values to predict. */
  labels: z.enum(["class", "value"]).optional(),
  /** File with class names. */
  classes: z.string().optional(),
});
type Options = z.output<typeof options>;

/** Splits a line into text and label. */
type LineForm = "last" | "first" | "none";
function parts(line: string, form: LineForm): { text: string; label: string | undefined } {
  const at = form === "none" ? -1 : form === "last" ? line.lastIndexOf("\t") : line.indexOf("\t");
  if (at < 0) return { text: line, label: undefined };
  const [before, after] = [line.slice(0, at), line.slice(at + 1)];
  return form === "last" ? { text: before, label: after } : { text: after, label: before };
}

async function open(path: string, asked: Options): Promise<SampleSource> {
  const lines = await indexLines(await openTextBytes(path));
  const first = await Promise.all(Array.from({ length: Math.min(50, lines.length) }, (_, i) => lines.line(i)));
  const tabbed = first.length > 0 && first.every((line) => line.includes("\t"));
  const form: LineForm = asked.label === "auto" ? (tabbed ? "last" : "none") : asked.label;
  const column = new LabelColumn();
  if (form !== "none")
    for (let i = 0; i < lines.length; i++) {
      const { label } = parts(await lines.line(i), form);
      if (label === undefined)
        fail("DATA_CORRUPT", `Line ${i + 1} of "${path}" has no tab between text and label.`, {
          subject: path,
          hint: 'Write "text TAB label" on every line, or open the data with label: "none".',
        });
      column.see(label);
    }
  const names = asked.classes === undefined ? await findClassNames(dirname(path)) : await readClassNames(asked.classes);
  const reader = form === "none" ? undefined : column.finish(names, asked.labels);
  return {
    summary: `${lines.length} lines of text, ${reader ? `label ${form === "last" ? "after the last" : "before the first"} tab` : "no labels"}`,
    features: [{ kind: "text", name: "text" }],
    label: reader?.kind,
    classes: reader?.classes,
    length: lines.length,
    origin: (index) => `line ${index + 1}`,
    async read(index) {
      const origin = `line ${index + 1}`;
      const { text, label } = parts(await lines.line(index), form);
      return reader && label !== undefined ? { origin, text, label: reader.read(label, `${path} ${origin}`) } : { origin, text };
    },
  };
}

const looksLikeText = (cell: string): boolean =>
  /\p{L}/u.test(cell) && !imageExtensions.test(cell) && !audioExtensions.test(cell);

/** The first whole lines of a file's head. */
export const headLines = (head: Uint8Array): string[] => {
  const text = new TextDecoder().decode(head);
  const lines = text.split(/\r?\n/);
  if (head.length >= headBytes) lines.pop();
  return lines.filter((line) => line.trim() !== "");
};

/** One text a line, with or without a label behind a tab. */
export const text = defineDataset({
  name: "text",
  summary: "lines of text, with a label behind a tab or without (.txt, .tsv)",
  options,
  detect(facts) {
    if (facts.directory || !/\.(txt|tsv)$/.test(facts.name)) return undefined;
    const lines = headLines(facts.head);
    const [first] = lines;
    if (first === undefined || facts.head.includes(0)) return undefined;
    if (lines.every((line) => /^[^\t]*\t\S+\s*$/.test(line) && looksLikeText(line.split("\t")[0] as string)))
      return { confidence: 0.8, why: 'holds lines of the form "text TAB label"' };
    const plain = facts.name.endsWith(".txt") && lines.every((line) => !line.includes("\t")) && lines.some(looksLikeText);
    return plain ? { confidence: 0.6, why: "is a .txt file with text" } : undefined;
  },
  open,
});
