const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** UTF-8 to a string; bytes that are not UTF-8 come back as they are. */
export function decodeUtf8(bytes: Uint8Array): string | Uint8Array {
  try {
    return strict.decode(bytes);
  } catch {
    return bytes;
  }
}

export const encodeUtf8 = (text: string | Uint8Array): Uint8Array => (typeof text === "string" ? encoder.encode(text) : text);
