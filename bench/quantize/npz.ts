import { writeFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import type { PreparedSample, Tensor } from "../../src/ir/index.ts";

const numpyTypes: Readonly<Record<string, string>> = { float32: "<f4", int64: "<i8", int32: "<i4", uint8: "|u1", bool: "|b1" };

/** NumPy .npy bytes (format 1.0). */
function npy(tensor: Tensor): Uint8Array {
  const shape = tensor.shape.length === 1 ? `${tensor.shape[0]},` : tensor.shape.join(", ");
  const text = `{'descr': '${numpyTypes[tensor.dtype]}', 'fortran_order': False, 'shape': (${shape}), }`;
  const padded = text.padEnd(Math.ceil((10 + text.length + 1) / 64) * 64 - 11, " ");
  const head = Buffer.concat([
    Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]),
    Buffer.alloc(2),
    Buffer.from(`${padded}\n`, "latin1"),
  ]);
  head.writeUInt16LE(padded.length + 1, 8);
  return Buffer.concat([head, tensor.bytes()]);
}

/** An uncompressed zip of arrays named "<sample>:<input>". */
export function writeNpz(path: string, samples: readonly PreparedSample[]): void {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  let entries = 0;
  samples.forEach(({ feeds }, index) => {
    for (const [input, tensor] of Object.entries(feeds)) {
      const name = Buffer.from(`${index}:${input}.npy`);
      const data = npy(tensor);
      const common = Buffer.alloc(26);
      common.writeUInt16LE(20, 0);
      common.writeUInt32LE(checksum(data), 10);
      common.writeUInt32LE(data.length, 14);
      common.writeUInt32LE(data.length, 18);
      common.writeUInt16LE(name.length, 22);
      const central = Buffer.alloc(46);
      central.write("PK\x01\x02", 0, "latin1");
      central.writeUInt16LE(20, 4);
      common.copy(central, 6, 0, 24);
      central.writeUInt32LE(offset, 42);
      parts.push(Buffer.from("PK\x03\x04", "latin1"), common, name, data);
      directory.push(central, name);
      offset += 30 + name.length + data.length;
      entries++;
    }
  });
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", 0, "latin1");
  end.writeUInt16LE(entries, 8);
  end.writeUInt16LE(entries, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(offset, 16);
  writeFileSync(path, Buffer.concat([...parts, ...directory, end]));
}

const checksum = (data: Uint8Array): number => crc32(data);
