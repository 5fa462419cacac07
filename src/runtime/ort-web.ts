import * as ort from "onnxruntime-web/wasm";
import type { Tensor } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { Executor, Session, SessionOptions } from "./executor.ts";
import { fromOrt, metadataType, type OrtTensor, type OrtValueMetadata, toOrt } from "./ort-tensor.ts";

type OrtWeb = typeof ort;

const inNode = (): boolean => "process" in globalThis && Boolean(globalThis.process?.versions?.node);

/**
 * The package's own entry under Node's conditions: the same WASM build, with worker threads. A browser must never get it: there the
 * same name is the WebGPU build, whose old backend computes quantized models wrongly. The specifier is a variable so that no bundler
 * follows it.
 */
const nodeEntry = "onnxruntime-web";

/** onnxruntime-web fixes its thread count when the first session starts; the single-threaded and the threaded entry are separate instances. */
const threadsOf = new Map<OrtWeb, number>();

async function runtimeFor(threads: number): Promise<OrtWeb> {
  const runtime = threads > 1 && inNode() ? ((await import(/* @vite-ignore */ nodeEntry)) as OrtWeb) : ort;
  const fixed = threadsOf.get(runtime);
  if (fixed !== undefined && fixed !== threads)
    throw new EdgewrightError(
      "ORT_WEB_THREADS",
      `onnxruntime-web already runs with ${fixed} threads here and cannot change to ${threads}.`,
      {
        hint: "Load all models of one process with the same number of threads.",
      },
    );
  threadsOf.set(runtime, threads);
  runtime.env.wasm.numThreads = threads;
  runtime.env.logLevel = "error";
  return runtime;
}

function sessionOptions(options: SessionOptions): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: ["wasm"],
    graphOptimizationLevel: options.optimization ?? "all",
    enableMemPattern: options.memoryPattern ?? true,
    logSeverityLevel: 3,
    ...(options.config ? { extra: { session: unprefixed(options.config) } } : {}),
    ...(options.externalData ? { externalData: options.externalData } : {}),
  };
}

/** onnxruntime's JavaScript API nests "session.x.y" entries under `extra.session`. */
const unprefixed = (config: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(config).map(([key, value]) => [key.replace(/^session\./, ""), value]));

const firstLine = (cause: unknown): string => String(cause instanceof Error ? cause.message : cause).split("\n")[0] ?? "";

/** A path in Node is a file (the single-threaded entry would take it for a URL); in a browser it is a URL. */
async function bytesOf(source: Uint8Array | string): Promise<Uint8Array | string> {
  if (typeof source !== "string" || !inNode()) return source;
  // not an import: this file also runs where node: modules do not exist
  return new Uint8Array(await process.getBuiltinModule("node:fs/promises").readFile(source));
}

async function load(source: Uint8Array | string, options: SessionOptions = {}): Promise<Session> {
  if (options.profilePrefix)
    throw new EdgewrightError("ORT_WEB_PROFILE", "onnxruntime-web cannot write a per-op profile.", {
      hint: "Profile with ort-node.",
    });
  const runtime = await runtimeFor(options.threads ?? 1);
  try {
    const model = await bytesOf(source);
    const created =
      typeof model === "string"
        ? await runtime.InferenceSession.create(model, sessionOptions(options))
        : await runtime.InferenceSession.create(model, sessionOptions(options));
    return wrap(runtime, created);
  } catch (cause) {
    throw new EdgewrightError("ORT_LOAD", `onnxruntime-web cannot load the model: ${firstLine(cause)}`, { cause });
  }
}

function wrap(runtime: OrtWeb, session: ort.InferenceSession): Session {
  const toWeb = (tensor: Tensor): ort.Tensor => {
    const [type, data, dims] = toOrt(tensor);
    return new runtime.Tensor(type as "float32", data as Float32Array, dims as number[]);
  };
  return {
    inputs: (session.inputMetadata as readonly OrtValueMetadata[]).map((m) => ({ name: m.name, type: metadataType(m) })),
    outputNames: session.outputNames,
    async run(feeds, outputs) {
      const ortFeeds = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toWeb(tensor)]));
      try {
        const results = outputs ? await session.run(ortFeeds, outputs as string[]) : await session.run(ortFeeds);
        return Object.fromEntries(
          Object.entries(results).map(([name, tensor]) => [name, fromOrt(tensor as unknown as OrtTensor)]),
        );
      } catch (cause) {
        throw new EdgewrightError("ORT_RUN", `onnxruntime-web failed while running the model: ${firstLine(cause)}`, { cause });
      }
    },
    release: () => session.release(),
  };
}

/** onnxruntime's WebAssembly build, in browsers and in Node. One thread unless `threads` says otherwise; no profile. */
export const ortWeb: Executor = { name: "ort-web", version: ort.env.versions.web ?? "unknown", load };
