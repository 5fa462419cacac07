import type { ExternalLocation } from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import type { EntryProto } from "./protos.ts";

/** One file of external tensor data, read in ranges. `read` returns exactly `length` bytes or throws. */
export interface ExternalReader {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
}
export type OpenExternal = (location: string) => ExternalReader;

/**
 * Refuses locations that leave the model's folder by their spelling: absolute paths, drive letters, "..", and back slashes
 * (which are separators on Windows). Whoever opens the file must also refuse symbolic links that lead outside.
 */
function checkLocation(location: string, subject: string): void {
  const parts = location.split(/[\\/]/);
  const escapes =
    location === "" ||
    /^([\\/~]|[A-Za-z]:)/.test(location) ||
    parts.includes("..") ||
    parts[0] === "*" ||
    location.includes("\0");
  if (escapes)
    fail("ONNX_EXTERNAL_ESCAPE", `External data of "${subject}" points to "${location}", outside the model's folder.`, {
      subject,
      hint: "External data must lie beside the model or in a folder below it.",
    });
}

function entryNumber(entries: ReadonlyMap<string, string>, key: string, fallback: number, subject: string): number {
  const text = entries.get(key);
  if (text === undefined) return fallback;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value))
    fail("ONNX_EXTERNAL_RANGE", `External data of "${subject}" has the ${key} "${text}".`, { subject });
  return value;
}

/** Where a tensor of `expected` bytes lies; its length must be just that. */
export function readLocation(proto: readonly EntryProto[], expected: number, subject: string): ExternalLocation {
  const entries = new Map(proto.map((entry) => [entry.key ?? "", entry.value ?? ""]));
  const location = entries.get("location") ?? "";
  checkLocation(location, subject);
  const offset = entryNumber(entries, "offset", 0, subject);
  const length = entryNumber(entries, "length", expected, subject);
  if (length !== expected)
    fail("ONNX_TENSOR_SIZE", `Tensor "${subject}" needs ${expected} bytes but its external data has ${length}.`, { subject });
  return { location, offset, length };
}

export const writeLocation = ({ location, offset, length }: ExternalLocation): EntryProto[] => [
  { key: "location", value: location },
  { key: "offset", value: String(offset) },
  { key: "length", value: String(length) },
];

/** The bytes of an external tensor, read anew on each call; checked against the file's size at once when it can be opened. */
export function externalSource(place: ExternalLocation, open: OpenExternal | undefined, subject: string): () => Uint8Array {
  if (!open)
    return () =>
      fail("ONNX_EXTERNAL_CLOSED", `Tensor "${subject}" lies in "${place.location}", which was not given.`, {
        subject,
        hint: "Load the model from its folder, or pass `open` to readOnnx.",
      });
  const reader = open(place.location);
  if (place.offset + place.length > reader.size)
    fail(
      "ONNX_EXTERNAL_RANGE",
      `Tensor "${subject}" lies at bytes ${place.offset} to ${place.offset + place.length} of "${place.location}", which has ${reader.size}.`,
      { subject, hint: "The data file is incomplete, or belongs to another model." },
    );
  return () => reader.read(place.offset, place.length);
}
