import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker, type WorkerOptions } from "node:worker_threads";

// TypeScript sources need a loader when they run as they are (tests); the built files are plain JavaScript.
const isSource = (file: URL): boolean => file.pathname.endsWith(".ts");
const loader = (): string => pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;

/** Node options for a process that runs `file`. */
export const loaderFor = (file: URL): string[] => (isSource(file) ? ["--import", loader()] : []);

/** A thread that runs `file`. In threads the loader's `--import` does nothing: it registers in the main thread only. */
export function startThread(file: URL, options: WorkerOptions): Worker {
  if (!isSource(file)) return new Worker(file, options);
  // tsx/esm/api by path: under require's conditions that name is a CommonJS file, which does not find its own parts
  const text = `import { register } from ${JSON.stringify(new URL("esm/api/index.mjs", loader()).href)};
    register();
    await import(${JSON.stringify(file.href)});`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(text)}`), options);
}
