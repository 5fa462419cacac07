import { arrayConstructor, numel, type Target, type TypedArray, toFloat32 } from "../../ir/index.ts";
import { fail } from "../../util/errors.ts";
import type { SampleStore, StoredInput } from "./store.ts";

export const targetForms = ["auto", "classes", "binary", "tensor", "tokens", "next-token", "none"] as const;

export interface TargetOptions {
  /**
   * "classes": class labels as one-hot rows, float32 [B, classes]. "binary": class labels 0 and 1 as float32 [B, 1]. "tensor": label
   * tensors (regression, several yes-or-no labels, pictures), float32 [B, ...]. "tokens": label tokens as int64 [B, T] with weights
   * float32 [B, T]. "next-token": the same from the input's own tokens, one ahead. "none": no targets. Default "auto": by the labels.
   */
  readonly form?: (typeof targetForms)[number] | undefined;
  /** Name of the target tensor; weights of tokens are "<name>_weight". Default "target". */
  readonly name?: string | undefined;
  /** Number of classes; "classes" needs it. */
  readonly classes?: number | undefined;
  /** Shape of one sample's target, where the model's output has more axes of 1: [10, 1, 1]. As many elements as the target itself. */
  readonly shape?: readonly number[] | undefined;
  /** Share ε of a one-hot row that is spread evenly over all classes; "binary" is drawn towards ½ alike. Default 0. */
  readonly labelSmoothing?: number | undefined;
  /** Positions T of token targets; default: the length of the model's token input. */
  readonly length?: number | undefined;
  /** Position of the first label token; default: the last positions, as many as there are label tokens. */
  readonly offset?: number | undefined;
  /** Label token that counts nothing; and for "next-token" any special token of the input. */
  readonly ignore?: number | undefined;
}

/** One target tensor of a batch, without its batch axis. */
export interface TargetTensor {
  readonly name: string;
  readonly dtype: "float32" | "int64";
  readonly shape: readonly number[];
}

export type Arrays = Readonly<Record<string, TypedArray>>;

/** How the labels of a store become target tensors. */
export interface TargetPlan {
  readonly tensors: readonly TargetTensor[];
  /** Whether targets of two samples may be averaged. */
  readonly mixable: boolean;
  /** Fills row `row`, which holds zeros. `feeds` are the batch's inputs before augmentation. */
  write(target: Target | undefined, origin: string, arrays: Arrays, row: number, feeds: Arrays): void;
}

const wrong = (origin: string, target: Target | undefined, form: string): never =>
  fail(
    "DATA_TARGET",
    `"${origin}" has ${target ? `a label of kind "${target.kind}"` : "no label"}, but the targets are ${form}.`,
    {
      subject: origin,
      hint: "All samples of a training run need labels of one kind; set the targets' form where the guess is wrong.",
    },
  );

function checkedShape(own: readonly number[], options: TargetOptions): readonly number[] {
  const { shape = own } = options;
  if (numel(shape) === numel(own)) return shape;
  return fail(
    "DATA_TARGET",
    `The targets' shape [${shape}] holds ${numel(shape)} elements, but a target [${own}] has ${numel(own)}.`,
  );
}

function classIndex(target: Target | undefined, origin: string, classes: number, form: string): number {
  if (target?.kind !== "class") return wrong(origin, target, form);
  if (Number.isInteger(target.index) && target.index >= 0 && target.index < classes) return target.index;
  return fail(
    "DATA_LABEL_RANGE",
    `"${origin}" has the class ${target.index}, but the targets have ${classes} classes (0 to ${classes - 1}).`,
    {
      subject: origin,
      hint: "Check that data and model belong together; `labelOffset` shifts labels by a constant.",
    },
  );
}

function classPlan(name: string, options: TargetOptions): TargetPlan {
  const { labelSmoothing: epsilon = 0 } = options;
  const classes =
    options.classes ??
    fail("DATA_TARGET", "Class labels need the number of classes that the model tells apart.", { hint: "Give targets.classes." });
  return {
    tensors: [{ name, dtype: "float32", shape: checkedShape([classes], options) }],
    mixable: true,
    write(target, origin, arrays, row) {
      const index = classIndex(target, origin, classes, "classes");
      const values = arrays[name] as Float32Array;
      if (epsilon > 0) values.fill(epsilon / classes, row * classes, (row + 1) * classes);
      values[row * classes + index] = 1 - epsilon + epsilon / classes;
    },
  };
}

function binaryPlan(name: string, options: TargetOptions): TargetPlan {
  const { labelSmoothing: epsilon = 0 } = options;
  return {
    tensors: [{ name, dtype: "float32", shape: checkedShape([1], options) }],
    mixable: true,
    write(target, origin, arrays, row) {
      (arrays[name] as Float32Array)[row] = classIndex(target, origin, 2, "binary") * (1 - epsilon) + epsilon / 2;
    },
  };
}

function tensorPlan(name: string, store: SampleStore, first: Target | undefined, options: TargetOptions): TargetPlan {
  if (first?.kind !== "tensor") return wrong(store.origin(0), first, "tensors");
  const own = store.targetBatched ? first.tensor.shape.slice(1) : first.tensor.shape;
  const shape = checkedShape(own, options);
  const size = numel(shape);
  return {
    tensors: [{ name, dtype: "float32", shape }],
    mixable: true,
    write(target, origin, arrays, row) {
      if (target?.kind !== "tensor") return wrong(origin, target, "tensors");
      if (target.tensor.size !== size)
        fail(
          "DATA_TARGET",
          `"${origin}" has a label of shape [${target.tensor.shape}], but others have [${first.tensor.shape}].`,
          {
            subject: origin,
          },
        );
      (arrays[name] as Float32Array).set(toFloat32(target.tensor), row * size);
    },
  };
}

const tokenInput = (store: SampleStore): (StoredInput & { form: { kind: "tokens" } }) | undefined =>
  store.inputs.find(
    (input): input is StoredInput & { form: Extract<StoredInput["form"], { kind: "tokens" }> } => input.form.kind === "tokens",
  );

function tokenLength(store: SampleStore, options: TargetOptions): number {
  const input = tokenInput(store) ?? (store.inputs.length === 1 ? store.inputs[0] : undefined);
  return (
    options.length ??
    input?.shape[0] ??
    fail("DATA_TARGET", "Token labels need the number of positions of the model's output.", { hint: "Give targets.length." })
  );
}

const tokenTensors = (name: string, length: number): readonly TargetTensor[] => [
  { name, dtype: "int64", shape: [length] },
  { name: `${name}_weight`, dtype: "float32", shape: [length] },
];

function tokenPlan(name: string, store: SampleStore, options: TargetOptions): TargetPlan {
  const length = tokenLength(store, options);
  return {
    tensors: tokenTensors(name, length),
    mixable: false,
    write(target, origin, arrays, row) {
      if (target?.kind !== "tokens") return wrong(origin, target, "tokens");
      const { tokens } = target;
      const offset = options.offset ?? length - tokens.length;
      if (offset < 0 || offset + tokens.length > length)
        fail("DATA_TARGET", `"${origin}" has ${tokens.length} label tokens, which do not fit into ${length} positions.`, {
          subject: origin,
        });
      for (const [i, token] of tokens.entries()) {
        const at = row * length + offset + i;
        if (token === options.ignore) continue;
        (arrays[name] as BigInt64Array)[at] = BigInt(token);
        (arrays[`${name}_weight`] as Float32Array)[at] = 1;
      }
    },
  };
}

/** Position t is to say the input's token t + 1; the last position, and special tokens, count nothing. */
function nextTokenPlan(name: string, store: SampleStore, options: TargetOptions): TargetPlan {
  const input = tokenInput(store);
  if (!input)
    return fail(
      "DATA_TARGET",
      `"next-token" targets need a token input; the data feed ${store.inputs.map((one) => one.name).join(", ")}.`,
    );
  const length = input.size;
  const form = input.form as Extract<StoredInput["form"], { kind: "tokens" }>;
  const ignored = new Set([...form.special, ...(options.ignore === undefined ? [] : [options.ignore])]);
  return {
    tensors: tokenTensors(name, length),
    mixable: false,
    write(_target, _origin, arrays, row, feeds) {
      const tokens = feeds[input.name] as TypedArray;
      for (let at = row * length; at < (row + 1) * length - 1; at++) {
        const next = Number(tokens[at + 1]);
        if (ignored.has(next)) continue;
        (arrays[name] as BigInt64Array)[at] = BigInt(next);
        (arrays[`${name}_weight`] as Float32Array)[at] = 1;
      }
    },
  };
}

const none: TargetPlan = { tensors: [], mixable: true, write() {} };

function formOf(first: Target | undefined, store: SampleStore): "classes" | "tensor" | "tokens" | "none" {
  if (first === undefined) return "none";
  if (first.kind !== "boxes") return first.kind === "class" ? "classes" : first.kind;
  return fail("DATA_TARGET", `"${store.origin(0)}" has boxes, which no loss compares with a model's output directly.`, {
    subject: store.origin(0),
    hint: "Give prepared samples whose target is the tensor that the loss needs.",
  });
}

/** Decides how labels become tensors, and reads every label that is known already, so that a wrong one stops before the first step. */
export function planTargets(store: SampleStore, options: TargetOptions = {}): TargetPlan {
  const { name = "target", labelSmoothing = 0 } = options;
  if (!(labelSmoothing >= 0 && labelSmoothing < 1))
    fail("DATA_TARGET", `Label smoothing must be at least 0 and below 1, not ${labelSmoothing}.`);
  const first = store.target(0);
  const form = options.form === undefined || options.form === "auto" ? formOf(first, store) : options.form;
  const plans: Readonly<Record<typeof form, () => TargetPlan>> = {
    classes: () => classPlan(name, options),
    binary: () => binaryPlan(name, options),
    tensor: () => tensorPlan(name, store, first, options),
    tokens: () => tokenPlan(name, store, options),
    "next-token": () => nextTokenPlan(name, store, options),
    none: () => none,
  };
  const plan = plans[form]();
  if (form !== "none" && form !== "next-token") checkLabels(plan, store);
  return plan;
}

/** Writes every label once into a row that is thrown away. */
function checkLabels(plan: TargetPlan, store: SampleStore): void {
  const row = targetArrays(plan, 1);
  for (let position = 0; position < store.length; position++) {
    const target = store.target(position);
    if (target || position < store.resident) plan.write(target, store.origin(position), row, 0, {});
  }
}

/** Zeros for the targets of a batch. */
export const targetArrays = (plan: TargetPlan, batch: number): Record<string, TypedArray> =>
  Object.fromEntries(plan.tensors.map(({ name, dtype, shape }) => [name, new (arrayConstructor(dtype))(batch * numel(shape))]));
