import { expect, it } from "vitest";
import { float32Tensor, tensorOf, toNumbers } from "../ir/index.ts";
import { encodeSafetensors, readSafetensors } from "./safetensors.ts";

const tensors = {
  weight: float32Tensor([2, 3], [1, 2, 3, 4, 5, 6]),
  index: tensorOf("int64", [2], [7, 8]),
  empty: float32Tensor([0], []),
};

it("gives back what was written", () => {
  const { tensors: read, metadata } = readSafetensors(encodeSafetensors({ tensors, metadata: { step: "12" } }));
  expect(metadata).toEqual({ step: "12" });
  for (const [name, tensor] of Object.entries(tensors)) {
    expect(read[name]?.shape).toEqual(tensor.shape);
    expect(toNumbers(read[name] as typeof tensor)).toEqual(toNumbers(tensor));
  }
});

/** A file with this header over `size` bytes of data. */
function file(header: string, size = 8): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}
const huge = new Uint8Array(16);
new DataView(huge.buffer).setBigUint64(0, 2n ** 62n, true);

it.each([
  ["too short", new Uint8Array(5)],
  ["a header longer than the file", huge],
  ["no JSON", file("{")],
  ["a list", file("[]")],
  ["an unknown type", file('{"a":{"dtype":"X9","shape":[2],"data_offsets":[0,8]}}')],
  ["a name of Object's", file('{"a":{"dtype":"constructor","shape":[2],"data_offsets":[0,8]}}')],
  ["no shape", file('{"a":{"dtype":"F32","data_offsets":[0,8]}}')],
  ["negative extents", file('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}')],
  ["data beyond the end", file('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}')],
  ["too few bytes", file('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,8]}}')],
  [
    "overlapping tensors",
    file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'),
  ],
  ["a tensor that is null", file('{"a":null}')],
])("refuses %s", (_, bytes) => {
  expect(() => readSafetensors(bytes)).toThrow(/no valid safetensors file/);
});
