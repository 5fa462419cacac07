import { float16ToNumber, numberToFloat16 } from "../../../ir/index.ts";

export type WeightBits = 4 | 8;

/** What a stored block looks like. */
export interface BlockFormat {
  readonly bits: WeightBits;
  /** Entries along a row that share a scale. */
  readonly block: number;
  /** With a zero point for each block; otherwise zero is the code 2^(bits−1), so that 4-bit codes stand for −8..7. */
  readonly asymmetric: boolean;
  readonly scales: "float32" | "float16";
}

/** A matrix [rows, columns] stored in blocks along its columns: w ≈ (code − zero point) · scale. Scales may be negative. */
export interface BlockedWeight extends BlockFormat {
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns], one unsigned code an entry. */
  readonly codes: Uint8Array;
  /** [rows, blocks a row]; already rounded to the type that is stored. */
  readonly scales32: Float32Array;
  /** [rows, blocks a row]. */
  readonly zeroPoints: Uint8Array;
}

export const blocksPerRow = (columns: number, block: number): number => Math.ceil(columns / block);
/** The code of zero where no zero point is stored. */
export const middle = (bits: WeightBits): number => 2 ** (bits - 1);
export const highestCode = (bits: WeightBits): number => 2 ** bits - 1;

/** A scale as it will be stored. */
export const storedScale = (scale: number, type: BlockFormat["scales"]): number =>
  type === "float16" ? float16ToNumber(numberToFloat16(scale)) : Math.fround(scale);

export function emptyBlocks(rows: number, columns: number, format: BlockFormat): BlockedWeight {
  const blocks = rows * blocksPerRow(columns, format.block);
  return {
    ...format,
    rows,
    columns,
    codes: new Uint8Array(rows * columns),
    scales32: new Float32Array(blocks),
    zeroPoints: new Uint8Array(blocks).fill(middle(format.bits)),
  };
}

/** The reals that the codes stand for, [rows, columns]. */
export function dequantizeBlocks({ rows, columns, block, codes, scales32, zeroPoints }: BlockedWeight): Float32Array {
  const values = new Float32Array(rows * columns);
  const blocks = blocksPerRow(columns, block);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      const of = row * blocks + Math.floor(column / block);
      values[at] = ((codes[at] as number) - (zeroPoints[of] as number)) * (scales32[of] as number);
    }
  return values;
}

/** Packs codes of `bits` bits row by row, low bits first; each row starts on a byte and is filled up to `width` entries with `filler`. */
export function packRows(
  codes: Uint8Array,
  { rows, columns, width, bits, filler }: { rows: number; columns: number; width: number; bits: WeightBits; filler: number },
): Uint8Array {
  const rowBytes = Math.ceil((width * bits) / 8);
  const packed = new Uint8Array(rows * rowBytes);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < width; column++) {
      const code = column < columns ? (codes[row * columns + column] as number) : filler;
      if (bits === 8) packed[row * rowBytes + column] = code;
      else
        packed[row * rowBytes + (column >> 1)] =
          (packed[row * rowBytes + (column >> 1)] as number) | (code << (4 * (column & 1)));
    }
  return packed;
}

/** The inverse of `packRows`, without the filling. */
export function unpackRows(
  packed: Uint8Array,
  { rows, columns, width, bits }: { rows: number; columns: number; width: number; bits: WeightBits },
): Uint8Array {
  const rowBytes = Math.ceil((width * bits) / 8);
  const codes = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const byte = packed[row * rowBytes + (bits === 8 ? column : column >> 1)] as number;
      codes[row * columns + column] = bits === 8 ? byte : (byte >> (4 * (column & 1))) & 15;
    }
  return codes;
}

/** Bytes that the blocks take in a file; `padded`: rows are filled up to whole blocks, as MatMulNBits wants them. */
export function storedBytes(rows: number, columns: number, format: BlockFormat, padded: boolean): number {
  const blocks = blocksPerRow(columns, format.block);
  const entries = padded ? blocks * format.block : columns;
  const zeroPoints = format.asymmetric ? Math.ceil((blocks * format.bits) / 8) : 0;
  return rows * (Math.ceil((entries * format.bits) / 8) + blocks * (format.scales === "float16" ? 2 : 4) + zeroPoints);
}

/**
 * The block size in 16..`wanted` that takes the fewest bytes for rows of `columns` entries; a short last block is padded, so that a
 * smaller size may take less. Of equals the smallest: it is more accurate.
 */
export function fittingBlock(columns: number, wanted: number, format: Omit<BlockFormat, "block">, padded: boolean): number {
  if (!padded) return wanted;
  let best = wanted;
  for (let block = 16; block <= wanted; block *= 2)
    if (storedBytes(1, columns, { ...format, block }, true) < storedBytes(1, columns, { ...format, block: best }, true))
      best = block;
  return best;
}
