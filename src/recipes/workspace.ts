import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Model } from "../ir/index.ts";
import { fileDigest, loadModel, saveModel } from "../runtime/model-file.ts";
import { EdgewrightError } from "../util/errors.ts";
import { type Candidate, type Manifest, manifestSchema } from "./manifest.ts";

type File = NonNullable<Candidate["file"]>;

/** Writes a file whole or not at all. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    await writeFile(temporary, content);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** The output folder of a run: candidates' files, the best so far, the manifest. Everything in it is valid at any moment. */
export class Workspace {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(folder: string): Promise<Workspace> {
    const path = resolve(folder);
    const known = await stat(path).catch(() => undefined);
    if (known && !known.isDirectory())
      throw new EdgewrightError("OUT_NOT_A_FOLDER", `"${folder}" is a file; --out needs a folder.`, {
        subject: folder,
        hint: "Give another --out.",
      });
    await mkdir(join(path, "candidates"), { recursive: true });
    return new Workspace(path);
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /** Saves a candidate's model and describes the file. */
  async saveCandidate(name: string, model: Model): Promise<File> {
    const path = `candidates/${name}.onnx`;
    const saved = await saveModel(model, this.path(path));
    return { path, bytes: saved.bytes, digest: saved.digest, role: "candidate" };
  }

  /** Whether a file of an earlier run is still there, unchanged. */
  async holds(file: File): Promise<boolean> {
    try {
      return (await fileDigest(this.path(file.path))) === file.digest;
    } catch {
      return false;
    }
  }

  /** Writes a candidate again (with its external data, if any) where users look for the result. */
  async publish(file: File, name: string): Promise<File> {
    const saved = await saveModel(await loadModel(this.path(file.path)), this.path(name));
    return { path: name, bytes: saved.bytes, digest: saved.digest, role: file.role };
  }

  async readManifest(): Promise<Manifest | undefined> {
    try {
      const parsed = manifestSchema.safeParse(JSON.parse(await readFile(this.path("manifest.json"), "utf8")));
      return parsed.success ? parsed.data : undefined;
    } catch {
      return undefined;
    }
  }

  async writeManifest(manifest: Manifest): Promise<void> {
    await writeWhole(this.path("manifest.json"), `${JSON.stringify(manifestSchema.parse(manifest), null, 2)}\n`);
  }

  async removeCandidates(): Promise<void> {
    await rm(this.path("candidates"), { recursive: true, force: true });
  }
}
