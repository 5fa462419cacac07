import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const example = join(root, "examples", "shapes");
export const exampleModel = join(example, "model.onnx");
export const exampleData = join(example, "data");

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunCliOptions {
  readonly cwd?: string;
  /** Sends Ctrl-C once stderr or stdout holds this text. */
  readonly interruptAt?: RegExp;
}

/** Runs the built command line as a user does; CI's and the terminal's settings do not reach it. */
export function runCli(args: readonly string[], { cwd = root, interruptAt }: RunCliOptions = {}): Promise<Run> {
  const { CI: _, FORCE_COLOR: __, ...env } = process.env;
  const child = spawn(process.execPath, [join(root, "bin/edgewright.js"), ...args], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  let interrupted = false;
  const look = () => {
    if (!interruptAt || interrupted || !interruptAt.test(stderr + stdout)) return;
    interrupted = true;
    child.kill("SIGINT");
  };
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk;
    look();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk;
    look();
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** A folder that is gone after `work`. */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "edgewright-e2e-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
