import type { SparseTensor } from "./attribute.ts";
import { bitsOf, byteLength, type DataType, isFloat } from "./dtype.ts";
import type { Lexer } from "./lexer.ts";
import { isStatic, type TensorType } from "./shape.ts";
import { stringTensor, Tensor, tensorOf, toNumbers, typedArray } from "./tensor.ts";
import { printTensorType, quote } from "./text-types.ts";

const plainIntegers = new Set<DataType>(["uint4", "int4", "uint2", "int2", "bool"]);

/** Shortest decimal that reads back as the same number; always with a point or an exponent, so that it reads as a float. */
export function printFloat(value: number, single = true): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  let text = String(value);
  if (single)
    for (let digits = 1; digits <= 9; digits++) {
      const short = value.toPrecision(digits);
      if (Math.fround(Number(short)) !== value) continue;
      text = String(Number(short));
      break;
    }
  if (Object.is(value, -0)) text = "-0";
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** Data as `{1, 2}`; element types without a decimal form, and numbers that decimals would lose, as `["hex": "..."]`. */
export function printData(tensor: Tensor): string {
  if (tensor.dtype === "string") return `{${(tensor.strings ?? []).map(quote).join(", ")}}`;
  const decimal = decimals(tensor);
  return decimal ? `{${decimal.join(", ")}}` : `["hex": "${hexOf(tensor.bytes())}"]`;
}

function decimals(tensor: Tensor): string[] | undefined {
  const { dtype } = tensor;
  if (isFloat(dtype)) {
    const numbers = toNumbers(tensor);
    // payloads of NaN have no decimal form
    return numbers.some(Number.isNaN) ? undefined : numbers.map((value) => printFloat(value, dtype !== "float64"));
  }
  if (plainIntegers.has(dtype)) return toNumbers(tensor).map(String);
  if (/^u?int\d+$/.test(dtype)) return Array.from(typedArray(tensor) as ArrayLike<number | bigint>, String);
  return undefined;
}

const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Data after a tensor's type, with or without "=". */
export function parseData(lexer: Lexer, type: TensorType | undefined): Tensor {
  if (!type || !isStatic(type.shape)) return lexer.error("a tensor with data needs a type with known dimensions");
  const { dtype, shape } = type;
  if (lexer.is("[")) return parseHex(lexer, dtype, shape);
  const count = shape.reduce((product, dim) => product * dim, 1);
  const words: string[] = [];
  lexer.list("{", "}", () => words.push(element(lexer, dtype)));
  if (words.length !== count) lexer.error(`a tensor of shape [${shape}] needs ${count} elements, not ${words.length}`);
  return fromWords(dtype, shape, words, lexer);
}

function element(lexer: Lexer, dtype: DataType): string {
  const { kind, text } = lexer.token;
  const wanted = dtype === "string" ? kind === "string" : kind === "integer" || (isFloat(dtype) && isNumber(lexer));
  if (!wanted) lexer.reject(`an element of type ${dtype}`);
  lexer.next();
  return text;
}

/** Whether the token is a number, "inf" and "nan" included. */
export const isNumber = (lexer: Lexer): boolean => {
  const { kind, text } = lexer.token;
  return kind === "integer" || kind === "float" || (kind === "identifier" && /^(inf|infinity|nan)$/i.test(text));
};

export function numberOf(text: string): number {
  if (/nan$/i.test(text)) return Number.NaN;
  if (/inf(inity)?$/i.test(text)) return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(text);
}

export const integerOf = (text: string): number | bigint => (Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text));

function fromWords(dtype: DataType, shape: readonly number[], words: readonly string[], lexer: Lexer): Tensor {
  if (dtype === "string") return stringTensor(shape, words);
  if (dtype === "bfloat16") return bfloat16Tensor(shape, words.map(numberOf));
  if (isFloat(dtype)) return tensorOf(dtype, shape, words.map(numberOf));
  if (bitsOf(dtype) < 8) return packedTensor(dtype, shape, words.map(Number));
  if (dtype === "bool" || /^u?int\d+$/.test(dtype)) return tensorOf(dtype, shape, words.map(integerOf));
  return lexer.error(`elements of type ${dtype} are written as ["hex": "..."]`);
}

function packedTensor(dtype: DataType, shape: readonly number[], values: readonly number[]): Tensor {
  const bits = bitsOf(dtype);
  const perByte = 8 / bits;
  const bytes = new Uint8Array(byteLength(dtype, values.length));
  values.forEach((value, i) => {
    const at = Math.floor(i / perByte);
    bytes[at] = (bytes[at] as number) | ((value & ((1 << bits) - 1)) << (bits * (i % perByte)));
  });
  return new Tensor(dtype, shape, bytes);
}

/** The upper half of a float32, rounded to nearest even. */
function bfloat16Tensor(shape: readonly number[], values: readonly number[]): Tensor {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  const halves = Uint16Array.from(bits, (word, i) =>
    Number.isNaN(values[i]) ? 0x7fc0 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16,
  );
  return new Tensor("bfloat16", shape, new Uint8Array(halves.buffer));
}

function parseHex(lexer: Lexer, dtype: DataType, shape: readonly number[]): Tensor {
  lexer.expect("[");
  const key = lexer.take("string", '"hex"');
  if (key !== "hex") lexer.error("text cannot refer to data in other files");
  lexer.expect(":");
  const hex = lexer.take("string", "hexadecimal digits");
  lexer.expect("]");
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  const needed = byteLength(
    dtype,
    shape.reduce((product, dim) => product * dim, 1),
  );
  if (bytes.byteLength !== needed || /[^0-9a-f]/i.test(hex))
    lexer.error(`the tensor needs ${needed} bytes as hexadecimal digits`);
  return new Tensor(dtype, shape, bytes);
}

/** A scalar's "[" would read as its dimensions, so "=" keeps them apart. */
function typed(tensor: Tensor): string {
  const data = printData(tensor);
  return `${printTensorType(tensor)} ${data.startsWith("[") ? "= " : ""}${data}`;
}

/** `float[2] {1.0, 2.0}` */
export const printTensor = typed;

/** The part of a sparse tensor after its type and name: its indices and values (an extension: the official syntax has none). */
export const printSparseData = ({ indices, values }: SparseTensor): string => `${typed(indices)} => ${typed(values)}`;

export function parseSparseData(lexer: Lexer, type: TensorType | undefined, parseTensor: () => Tensor): SparseTensor {
  if (!type || !isStatic(type.shape)) return lexer.error("a sparse tensor with data needs known dimensions");
  const indices = parseTensor();
  lexer.expect("=>");
  return { indices, values: parseTensor(), shape: type.shape };
}
