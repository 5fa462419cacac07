import { type DataType, Tensor } from "../../src/ir/index.ts";

/** Where a tensor lies in a file of tensors one after another. */
export interface TensorPlace {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}
export interface TensorFile {
  readonly path: string;
  readonly tensors: readonly TensorPlace[];
}

/** What a page needs to train: everything but this table lies in files beside it. */
export interface TrainingTable {
  readonly model: string;
  readonly stateInputs: Readonly<Record<string, string>>;
  readonly stateOutputs: Readonly<Record<string, string>>;
  readonly states: TensorFile;
  readonly steps: readonly TensorFile[];
  /** Output of one number that every step gives. */
  readonly loss: string;
  readonly threads: number;
}

export interface TrainingOutcome {
  readonly isolated: boolean;
  readonly losses: readonly number[];
  /** The last states' bytes in base64. */
  readonly states: Readonly<Record<string, string>>;
}

/** Every tensor starts at a multiple of eight bytes, so that typed arrays can view it. */
export function joinTensors(tensors: Readonly<Record<string, Tensor>>): { places: TensorPlace[]; bytes: Uint8Array } {
  const places: TensorPlace[] = [];
  let end = 0;
  for (const [name, { dtype, shape, byteLength }] of Object.entries(tensors)) {
    places.push({ name, dtype, shape, offset: end, bytes: byteLength });
    end = Math.ceil((end + byteLength) / 8) * 8;
  }
  const bytes = new Uint8Array(end);
  for (const { name, offset } of places) bytes.set((tensors[name] as Tensor).bytes(), offset);
  return { places, bytes };
}

export const splitTensors = (places: readonly TensorPlace[], file: ArrayBuffer): Record<string, Tensor> =>
  Object.fromEntries(
    places.map(({ name, dtype, shape, offset, bytes }) => [name, new Tensor(dtype, shape, new Uint8Array(file, offset, bytes))]),
  );
