// Every subpath of package.json resolves to a built file with types and can be imported; publint agrees with the manifest.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { type Findings, root } from "./source-files.ts";

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin: Readonly<Record<string, string>>;
}

async function importProblem(manifest: Manifest, subpath: string): Promise<string | undefined> {
  try {
    // by the package's own name, as a user would
    const names = Object.keys(await import(manifest.name + subpath.slice(1)));
    return names.length === 0 ? `"${subpath}" exports nothing` : undefined;
  } catch (error) {
    return `"${subpath}" cannot be imported: ${(error as Error).message}`;
  }
}

export async function checkExports(): Promise<Findings> {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
  const problems: string[] = [];
  for (const [subpath, conditions] of Object.entries(manifest.exports)) {
    const files = typeof conditions === "string" ? [conditions] : Object.values(conditions);
    const missing = files.filter((file) => !existsSync(join(root, file)));
    problems.push(...missing.map((file) => `"${subpath}" names ${file}, which the build does not make`));
    if (typeof conditions === "string" || missing.length > 0) continue;
    const problem = await importProblem(manifest, subpath);
    if (problem) problems.push(problem);
  }
  for (const file of Object.values(manifest.bin)) if (!existsSync(join(root, file))) problems.push(`bin ${file} is missing`);
  const { messages } = await publint({ pkgDir: root, strict: true, pack: false });
  for (const message of messages) problems.push(`publint: ${formatMessage(message, manifest, { color: false })}`);
  return { problems };
}
