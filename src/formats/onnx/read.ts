import { Model } from "../../ir/index.ts";
import { EdgewrightError, fail } from "../../util/errors.ts";
import { decodeMessage } from "../../util/protobuf/index.ts";
import { mapOf, opsetsOf } from "./entries.ts";
import type { OpenExternal } from "./external.ts";
import { type ModelProto, modelProto, type OperatorSetProto } from "./protos.ts";
import { readFunction, readGraph } from "./read-graph.ts";

export interface ReadOptions {
  /** Opens a file of external data by its location relative to the model. Without it, such tensors fail when their bytes are asked for. */
  readonly open?: OpenExternal;
}

/**
 * Reads an ONNX model. Weights stay views on `bytes` (or ranges of external files): nothing may write to them.
 * Anything wrong with the file is an EdgewrightError.
 */
export function readOnnx(bytes: Uint8Array, { open }: ReadOptions = {}): Model {
  const proto = decodeModel(bytes);
  if (!proto.graph) notAModel(bytes, "it holds no graph");
  const opsets = readOpsets(proto.opsetImport ?? []);
  if (opsets.size === 0 && (proto.irVersion ?? 0) >= 3)
    fail("ONNX_NO_OPSET", "The model does not say which operator set it uses.", {
      hint: "The end of the file may be missing; copy or download it again.",
    });
  const opened = open && openOnce(open);
  const model = new Model({ graph: readGraph(proto.graph, opened), irVersion: proto.irVersion ?? 0, opsets });
  model.functions = (proto.functions ?? []).map((fn) => readFunction(fn, opened));
  model.metadata = mapOf(proto.metadataProps ?? []);
  model.producerName = proto.producerName ?? "";
  model.producerVersion = proto.producerVersion ?? "";
  model.domain = proto.domain ?? "";
  model.modelVersion = proto.modelVersion ?? 0;
  model.docString = proto.docString ?? "";
  if (proto.unknown) model.unknownFields = proto.unknown;
  return model;
}

/** The first byte of nearly every ONNX file: field 1, the IR version. */
const irVersionTag = 0x08;

function decodeModel(bytes: Uint8Array): ModelProto {
  if (bytes.byteLength === 0) fail("ONNX_EMPTY", "The file is empty.", { hint: "Copy or download it again." });
  try {
    return decodeMessage(modelProto, bytes, "ONNX");
  } catch (error) {
    if (error instanceof EdgewrightError && bytes[0] !== irVersionTag && error.code !== "ONNX_NESTING")
      notAModel(bytes, "it does not begin as one", error);
    throw error;
  }
}

const startsWith = (bytes: Uint8Array, text: string, at = 0): boolean =>
  [...text].every((char, i) => bytes[at + i] === char.charCodeAt(0));

/** Files that people take for ONNX models, by their first bytes. */
function lookalike(bytes: Uint8Array): string | undefined {
  if (startsWith(bytes, "version https://git-lfs"))
    return "It is a Git LFS pointer: run `git lfs pull` to fetch the model itself.";
  if (startsWith(bytes, "TFL3", 4)) return "It is a TensorFlow Lite model.";
  if (startsWith(bytes, "ORTM", 4)) return "It is a model in ORT format; use the ONNX file that it was made from.";
  if (startsWith(bytes, "PK")) return "It is a zip archive, such as PyTorch and Keras save: export the model to ONNX first.";
  if (startsWith(bytes, "\x89HDF")) return "It is an HDF5 file, such as Keras saves: export the model to ONNX first.";
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return "It is a gzip archive: unpack it first.";
  if (startsWith(bytes, "<")) return "It looks like a web page: the download went wrong.";
  return undefined;
}

function notAModel(bytes: Uint8Array, reason: string, cause?: unknown): never {
  fail("ONNX_NOT_A_MODEL", `The file is not an ONNX model: ${reason}.`, {
    hint: lookalike(bytes) ?? "Give the path of an .onnx file.",
    cause,
  });
}

function readOpsets(imports: readonly OperatorSetProto[]): Map<string, number> {
  for (const { domain, version } of imports)
    if (version === undefined || !Number.isSafeInteger(version) || version < 0)
      fail("ONNX_OPSET", `Operator set "${domain ?? ""}" has the version ${version}.`, { subject: domain ?? "" });
  return opsetsOf(imports);
}

function openOnce(open: OpenExternal): OpenExternal {
  const readers = new Map<string, ReturnType<OpenExternal>>();
  return (location) => {
    const reader = readers.get(location) ?? open(location);
    readers.set(location, reader);
    return reader;
  };
}
