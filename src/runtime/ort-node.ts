import * as ort from "onnxruntime-node";
import type { Tensor } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { Executor, Session, SessionOptions } from "./executor.ts";
import { freeBuffer } from "./free-buffer.ts";
import { ortNodeVersion } from "./load-ort.ts";
import { fromOrt, metadataType, type OrtTensor, type OrtValueMetadata, toOrt } from "./ort-tensor.ts";

function sessionOptions(options: SessionOptions): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: ["cpu"],
    intraOpNumThreads: options.threads ?? 1,
    interOpNumThreads: 1,
    graphOptimizationLevel: options.optimization ?? "all",
    enableMemPattern: options.memoryPattern ?? true,
    logSeverityLevel: 3,
    ...(options.profilePrefix ? { enableProfiling: true, profileFilePrefix: options.profilePrefix } : {}),
    ...(options.optimizedPath ? { optimizedModelFilePath: options.optimizedPath } : {}),
    ...(options.config ? { extra: { session: unprefixed(options.config) } } : {}),
    ...(options.externalData ? { externalData: options.externalData } : {}),
  };
}

/** onnxruntime's JavaScript API nests "session.x.y" entries under `extra.session`. */
const unprefixed = (config: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(config).map(([key, value]) => [key.replace(/^session\./, ""), value]));

async function load(source: Uint8Array | string, options: SessionOptions = {}): Promise<Session> {
  const created = await create(source, sessionOptions(options));
  return wrap(created);
}

async function create(source: Uint8Array | string, options: ort.InferenceSession.SessionOptions): Promise<ort.InferenceSession> {
  try {
    return typeof source === "string"
      ? await ort.InferenceSession.create(source, options)
      : await ort.InferenceSession.create(source, options);
  } catch (cause) {
    throw new EdgewrightError("ORT_LOAD", `onnxruntime-node cannot load the model: ${firstLine(cause)}`, { cause });
  }
}

export const firstLine = (cause: unknown): string => String(cause instanceof Error ? cause.message : cause).split("\n")[0] ?? "";

const toNative = (tensor: Tensor): ort.Tensor => {
  const [type, data, dims] = toOrt(tensor);
  return new ort.Tensor(type as "float32", data as Float32Array, dims as number[]);
};

function wrap(session: ort.InferenceSession): Session {
  return {
    inputs: (session.inputMetadata as readonly OrtValueMetadata[]).map((m) => ({ name: m.name, type: metadataType(m) })),
    outputNames: session.outputNames,
    writesInto: true,
    async run(feeds, outputs, into = {}) {
      const ortFeeds: Record<string, ort.Tensor> = {};
      for (const [name, tensor] of Object.entries(feeds)) ortFeeds[name] = toNative(tensor);
      const fetches: Record<string, ort.Tensor | null> = {};
      for (const name of outputs ?? session.outputNames) fetches[name] = into[name] ? toNative(into[name]) : null;
      const results = await runSession(session, ortFeeds, fetches);
      return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, ownOrGiven(tensor, into[name])]));
    },
    endProfiling: () => (session as unknown as { endProfiling(): string }).endProfiling(),
    release: () => session.release(),
  };
}

/** The binding writes to the memory that it is given, and then makes a copy of it all the same (1.30): tens of megabytes a training step. */
function ownOrGiven(result: ort.Tensor, given: Tensor | undefined): Tensor {
  if (!given) return fromOrt(result as unknown as OrtTensor);
  const copy = (result.data as ArrayBufferView).buffer as ArrayBuffer;
  if (copy !== given.bytes().buffer) freeBuffer(copy);
  return given;
}

async function runSession(
  session: ort.InferenceSession,
  feeds: Record<string, ort.Tensor>,
  fetches: Record<string, ort.Tensor | null>,
) {
  try {
    return await session.run(feeds, fetches);
  } catch (cause) {
    throw new EdgewrightError("ORT_RUN", `onnxruntime-node failed while running the model: ${firstLine(cause)}`, { cause });
  }
}

/** onnxruntime's native CPU build. */
export const ortNode: Executor = { name: "ort-node", version: ortNodeVersion(), load };
