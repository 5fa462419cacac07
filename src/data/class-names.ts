import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { EdgewrightError } from "../util/errors.ts";
import { readText } from "./files.ts";

const usual = ["classes.tsv", "classes.txt", "labels.txt"];

/** Class names by index: one name a line, or a table "index TAB … TAB name" (a heading line is recognised by its missing number). */
export async function readClassNames(path: string): Promise<readonly string[]> {
  const lines = (await readText(path)).split(/\r?\n/).filter((line) => line.trim() !== "");
  if (!path.endsWith(".tsv")) return lines.map((line) => line.trim());
  const rows = lines.map((line) => line.split("\t"));
  const body = /^\d+$/.test(rows[0]?.[0] ?? "") ? rows : rows.slice(1);
  const names: string[] = [];
  for (const row of body) {
    const index = Number(row[0]);
    if (!Number.isInteger(index) || index < 0 || index >= 1e6 || row.length < 2)
      throw new EdgewrightError("DATA_CLASSES", `"${path}" has the line "${row.join("\\t")}"; "index TAB name" was expected.`, {
        subject: path,
      });
    names[index] = row.at(-1) as string;
  }
  return Array.from(names, (name, index) => name ?? String(index));
}

/** The class names beside the data or one folder above, where there are any. */
export async function findClassNames(folder: string): Promise<readonly string[] | undefined> {
  for (const place of [folder, dirname(folder)])
    for (const name of usual) if (existsSync(join(place, name))) return readClassNames(join(place, name));
  return undefined;
}

/** Stops when a stored class index has no class. */
export function checkClassIndex(index: number, classes: number | undefined, origin: string): void {
  if (Number.isInteger(index) && index >= 0 && (classes === undefined || index < classes)) return;
  const range = classes === undefined ? "0 or more" : `0 to ${classes - 1}`;
  throw new EdgewrightError("DATA_LABEL_RANGE", `"${origin}" has the class ${index}; classes go from ${range}.`, {
    subject: origin,
    hint: "Correct the label, or give all class names with the option `classes`.",
  });
}
