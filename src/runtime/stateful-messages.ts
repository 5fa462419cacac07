import { type DataType, Tensor } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { SessionOptions } from "./executor.ts";
import type { StatefulProgram } from "./stateful.ts";

/** What a worker's owner asks; programs have numbers that the owner gives. */
export type RuntimeRequest =
  | { readonly kind: "start"; readonly executor: string }
  | { readonly kind: "load"; readonly program: number; readonly source: StatefulProgram; readonly options?: SessionOptions }
  | { readonly kind: "run"; readonly program: number; readonly feeds: PackedTensors; readonly outputs?: readonly string[] }
  | { readonly kind: "release"; readonly program: number }
  | { readonly kind: "read"; readonly states: readonly string[] }
  | { readonly kind: "write"; readonly states: PackedTensors }
  | { readonly kind: "close" };
export type RequestKind = RuntimeRequest["kind"];

export interface RuntimeResults {
  readonly start: { readonly name: string; readonly version: string };
  readonly load: void;
  readonly run: PackedTensors;
  readonly release: void;
  readonly read: PackedTensors;
  readonly write: void;
  readonly close: void;
}

export interface Numbered<T> {
  readonly id: number;
  readonly body: T;
}
export type RuntimeReply = { readonly result: unknown } | { readonly failure: PackedError };

export interface PackedTensor {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  readonly strings?: readonly string[];
}
export type PackedTensors = Readonly<Record<string, PackedTensor>>;

/**
 * Tensors as they cross threads; `moved` collects the buffers to transfer. What is sent is always in memory of its own, since the sender
 * loses it: with `give`, a tensor that fills its whole buffer is given away as it is.
 */
export function packTensors(tensors: Readonly<Record<string, Tensor>>, moved: Set<ArrayBuffer>, give = false): PackedTensors {
  const pack = (tensor: Tensor): PackedTensor => {
    const given = tensor.bytes();
    const whole = given.buffer instanceof ArrayBuffer && given.byteLength === given.buffer.byteLength;
    const bytes = give && whole && !moved.has(given.buffer as ArrayBuffer) ? given : new Uint8Array(given);
    moved.add(bytes.buffer as ArrayBuffer);
    return { dtype: tensor.dtype, shape: tensor.shape, bytes, ...(tensor.strings ? { strings: tensor.strings } : {}) };
  };
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, pack(tensor)]));
}

export const unpackTensors = (packed: PackedTensors): Readonly<Record<string, Tensor>> =>
  Object.fromEntries(
    Object.entries(packed).map(([name, { dtype, shape, bytes, strings }]) => [
      name,
      new Tensor(dtype, shape, bytes, strings ? { strings } : {}),
    ]),
  );

export interface PackedError {
  readonly code: string | undefined;
  readonly message: string;
  readonly subject: string | undefined;
  readonly hint: string | undefined;
  readonly stack: string | undefined;
}

export function packError(error: unknown): PackedError {
  if (error instanceof EdgewrightError) {
    const { code, message, subject, hint, stack } = error;
    return { code, message, subject, hint, stack };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { code: undefined, message, subject: undefined, hint: undefined, stack };
}

/** Expected failures come back as such; anything else stays what it was, our own bug, with the other thread's stack. */
export function unpackError({ code, message, subject, hint, stack }: PackedError): Error {
  if (code === undefined) return Object.assign(new Error(message), { stack });
  return new EdgewrightError(code, message, { ...(subject ? { subject } : {}), ...(hint ? { hint } : {}) });
}
