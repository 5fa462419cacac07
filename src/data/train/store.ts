import type { PreparedSample, Target, Tensor, TypedArray } from "../../ir/index.ts";
import { arrayConstructor, fromTypedArray } from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import { Column } from "./column.ts";
import type { FormOfShape, InputForm } from "./form.ts";

/** One model input as all samples of a store have it. */
export interface StoredInput {
  readonly name: string;
  readonly dtype: Tensor["dtype"];
  /** Without the batch axis. */
  readonly shape: readonly number[];
  readonly size: number;
  readonly form: InputForm;
}

/** Memory that several stores share. */
export interface MemoryBudget {
  left: number;
}

export interface StoreOptions {
  readonly budget: MemoryBudget;
  /** Input name → its form; others are plain tensors. */
  readonly forms: ReadonlyMap<string, FormOfShape>;
  /** Prepares a sample of the data set anew: what did not fit into memory. */
  readonly prepare?: ((index: number) => Promise<PreparedSample>) | undefined;
  /** Targets are pictures on the same grid as the input, so that moving the input's pixels alone would spoil them. */
  readonly targetOnGrid?: boolean | undefined;
  /** Target tensors carry a batch axis of 1, which batches replace. */
  readonly targetBatched?: boolean | undefined;
}

const tensorForm: FormOfShape = () => ({ kind: "tensor" });
/** What a sample takes beside its tensors: its id, its origin, its place in the lists. */
const bytesBeside = 200;

/**
 * The samples of one part of the data, in a fixed order and packed: as many as the memory budget allows stay decoded, the others are read
 * again whenever a batch needs them.
 */
export class SampleStore {
  readonly targetOnGrid: boolean;
  readonly targetBatched: boolean;
  readonly #options: StoreOptions;
  readonly #columns = new Map<string, Column>();
  readonly #indices: number[] = [];
  readonly #ids: string[] = [];
  readonly #origins: string[] = [];
  readonly #targets: (Target | undefined)[] = [];
  readonly #classes = new Map<number, Target>();
  #resident = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.targetOnGrid = options.targetOnGrid ?? false;
    this.targetBatched = options.targetBatched ?? false;
  }

  get length(): number {
    return this.#ids.length;
  }
  /** How many samples, the first ones, are held decoded. */
  get resident(): number {
    return this.#resident;
  }
  /** Bytes of the decoded samples, targets not counted. */
  get bytes(): number {
    return [...this.#columns.values()].reduce((sum, column) => sum + column.bytes, 0);
  }
  get inputs(): readonly StoredInput[] {
    return [...this.#columns].map(([name, { dtype, shape, size, form }]) => ({ name, dtype, shape, size, form }));
  }
  /** Position in the data set of the sample at a position of the store. */
  index(position: number): number {
    return this.#indices[position] as number;
  }
  id(position: number): string {
    return this.#ids[position] as string;
  }
  origin(position: number): string {
    return this.#origins[position] as string;
  }
  /** What is right for a sample; undefined where it has no label, or where that is known only once the sample is read. */
  target(position: number): Target | undefined {
    return this.#targets[position];
  }

  /** Whether the next sample would still be kept. */
  get hasRoom(): boolean {
    return this.#resident === this.length && this.#options.budget.left > this.#sampleBytes();
  }

  #sampleBytes(): number {
    return [...this.#columns.values()].reduce((sum, column) => sum + column.sampleBytes, bytesBeside);
  }

  /** Adds a sample in full, and keeps it decoded. */
  add(index: number, sample: PreparedSample): void {
    this.#check(sample);
    for (const [name, tensor] of Object.entries(sample.feeds)) {
      let column = this.#columns.get(name);
      if (!column) {
        column = new Column(tensor, (this.#options.forms.get(name) ?? tensorForm)(tensor.shape));
        this.#columns.set(name, column);
      }
      column.append(tensor);
    }
    this.#options.budget.left -= this.#sampleBytes() + (sample.target?.kind === "tensor" ? sample.target.tensor.byteLength : 0);
    this.addUnread(index, sample.id, sample.origin, sample.target);
    this.#resident++;
  }

  /** Adds a sample by name only: it is read when a batch needs it. */
  addUnread(index: number, id: string, origin: string, target: Target | undefined): void {
    this.#indices.push(index);
    this.#ids.push(id);
    this.#origins.push(origin);
    this.#targets.push(this.#shared(target));
  }

  /** Samples of one class share one object. */
  #shared(target: Target | undefined): Target | undefined {
    if (target?.kind !== "class") return target;
    const known = this.#classes.get(target.index);
    if (!known) this.#classes.set(target.index, target);
    return known ?? target;
  }

  #check({ feeds, origin }: PreparedSample): void {
    const names = Object.keys(feeds);
    if (this.#columns.size > 0 && (names.length !== this.#columns.size || names.some((name) => !this.#columns.has(name))))
      fail(
        "DATA_BATCH",
        `"${origin}" feeds ${names.join(", ")}, but other samples feed ${[...this.#columns.keys()].join(", ")}.`,
      );
    for (const [name, { dtype, shape }] of Object.entries(feeds)) {
      const column = this.#columns.get(name);
      if (shape[0] !== 1 || dtype === "string")
        fail("DATA_BATCH", `"${origin}" feeds "${name}" with ${dtype}[${shape}]; one sample of numbers has a batch axis of 1.`);
      if (!column || (column.dtype === dtype && `${column.shape}` === `${shape.slice(1)}`)) continue;
      fail(
        "DATA_BATCH",
        `Samples of a batch must have one shape, but "${origin}" is ${dtype}[${shape}] and others are ${column.dtype}[1,${column.shape}].`,
        { subject: origin, hint: "Fix the size in the preprocessing: image.resize, audio.length or text.maxLength." },
      );
    }
  }

  /** Writes a sample that is held decoded into row `row` of one array an input. */
  fill(position: number, arrays: Readonly<Record<string, TypedArray>>, row: number): void {
    for (const [name, column] of this.#columns) column.copyTo(position, arrays[name] as TypedArray, row * column.size);
  }

  /** Reads a sample that is not held decoded. */
  async read(position: number): Promise<PreparedSample> {
    const sample = await this.#options.prepare?.(this.index(position));
    if (!sample) fail("DATA_INDEX", `"${this.origin(position)}" cannot be read again.`);
    this.#check(sample);
    return sample;
  }

  /** One sample as preprocessing gave it, whether held or not; `geometry` is empty for those held. */
  async sample(position: number): Promise<PreparedSample> {
    if (position >= this.#resident) return this.read(position);
    const feeds: Record<string, Tensor> = {};
    for (const [name, column] of this.#columns) {
      const values = new (arrayConstructor(column.dtype))(column.size);
      column.copyTo(position, values, 0);
      feeds[name] = fromTypedArray(column.dtype, [1, ...column.shape], values);
    }
    return { id: this.id(position), origin: this.origin(position), feeds, target: this.target(position), geometry: {} };
  }
}
