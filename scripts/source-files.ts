import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** What a check found: problems fail the run, notes are only shown. */
export interface Findings {
  readonly problems: readonly string[];
  readonly notes?: readonly string[];
}

export interface Import {
  readonly specifier: string;
  readonly line: number;
  readonly typeOnly: boolean;
  readonly dynamic: boolean;
}

export interface SourceFile {
  /** From the repository root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** Text files of a folder, by ending; generated output and dependencies are not descended into. */
export async function readFiles(folder: string, ending: RegExp): Promise<SourceFile[]> {
  const names = await readdir(join(root, folder), { recursive: true }).catch(() => []);
  const paths = names.map((name) => `${folder}/${name.replaceAll("\\", "/")}`);
  const wanted = paths.filter((path) => ending.test(path) && !/(^|\/)(node_modules|dist|\.venv)\//.test(path)).sort();
  return Promise.all(wanted.map(async (path) => ({ path, text: await readFile(join(root, path), "utf8") })));
}

export const isTest = (path: string): boolean => /\.test\.ts$/.test(path);

/** The text with comments blanked (same length, same lines), strings kept. */
export function withoutComments(text: string): string {
  const token = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;
  return text.replace(token, (part) => (part.startsWith("/") ? part.replace(/[^\n]/g, " ") : part));
}

const statement = /^(?:import|export)\s+(type\s+)?((?:[\w*{}\s,$]|as)*?)\s*from\s*"([^"]+)"|^import\s+"([^"]+)"/gm;
const call = /\bimport\(\s*"([^"]+)"\s*\)(\s*\.\s*[A-Z])?/g;

const lineAt = (text: string, index: number): number => text.slice(0, index).split("\n").length;

/** All imports and re-exports; `import { type A, type B }` counts as a type import. */
export function importsOf(text: string): Import[] {
  const clean = withoutComments(text);
  const found: Import[] = [];
  for (const match of clean.matchAll(statement)) {
    const names =
      /\{([^}]*)\}/
        .exec(match[2] ?? "")?.[1]
        ?.split(",")
        .map((name) => name.trim())
        .filter(Boolean) ?? [];
    const typeOnly = Boolean(match[1]) || (names.length > 0 && names.every((name) => name.startsWith("type ")));
    const specifier = (match[3] ?? match[4]) as string;
    found.push({ specifier, line: lineAt(clean, match.index), typeOnly, dynamic: false });
  }
  for (const match of clean.matchAll(call))
    found.push({ specifier: match[1] as string, line: lineAt(clean, match.index), typeOnly: Boolean(match[2]), dynamic: true });
  return found;
}
