import { z } from "zod";
import { float16ToNumber, numberToFloat16, type TypedArray } from "../../../ir/index.ts";
import { EdgewrightError, fail } from "../../../util/errors.ts";
import { describeIssues } from "../../issues.ts";
import type { SampleStore, StoredInput } from "../store.ts";
import type { Arrays, TargetPlan } from "../targets.ts";
import { audioNoise, specAugment, timeShift } from "./audio.ts";
import type { Augmentation, AugmentedKind } from "./define.ts";
import { colorJitter, cutout, horizontalFlip, randomCrop, randomErasing, randomResizedCrop } from "./images.ts";
import { mixRows, mixupSchema } from "./mixup.ts";
import { tokenDropout, tokenSwap } from "./text.ts";

/** All augmentations of single samples; mixup works on whole batches. */
export const augmentations: readonly Augmentation[] = [
  horizontalFlip,
  randomCrop,
  randomResizedCrop,
  colorJitter,
  cutout,
  randomErasing,
  specAugment,
  audioNoise,
  timeShift,
  tokenDropout,
  tokenSwap,
];
const byName = new Map(augmentations.map((record) => [record.name, record]));
const names = (): string => [...byName.keys(), "mixup"].join(", ");

/** Augmentations in the order in which they are applied, each with its options. */
export const augmentSchema = z.array(
  z.discriminatedUnion("name", [
    horizontalFlip.schema,
    randomCrop.schema,
    randomResizedCrop.schema,
    colorJitter.schema,
    cutout.schema,
    randomErasing.schema,
    mixupSchema,
    specAugment.schema,
    audioNoise.schema,
    timeShift.schema,
    tokenDropout.schema,
    tokenSwap.schema,
  ]),
);
export type Augment = z.output<typeof augmentSchema>;
/** What people write: options may be left out. */
export type AugmentInput = z.input<typeof augmentSchema>;

/** Checked, with every default filled in. */
export function resolveAugment(value: unknown): Augment {
  const parsed = augmentSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new EdgewrightError("AUGMENT_INVALID", `The augmentation is not valid: ${describeIssues(parsed.error)}.`, {
    hint: `It is a list like [{"name": "horizontal-flip"}]; names: ${names()}.`,
  });
}

/** What to do to each row of a batch, then to the batch. */
export interface AugmentPlan {
  row(feeds: Arrays, row: number, uniform: () => number): void;
  batch(feeds: Arrays, targets: Arrays, count: number, uniform: () => number): void;
}

const kindWords: Readonly<Record<AugmentedKind | "tensor", string>> = {
  image: "pictures",
  audio: "recordings",
  tokens: "token numbers",
  tensor: "plain numbers",
};
const held = (inputs: readonly StoredInput[]): string =>
  inputs.map(({ name, form }) => `${kindWords[form.kind]} ("${name}")`).join(" and ");

interface Step {
  readonly record: Augmentation;
  readonly options: Augment[number];
  readonly inputs: readonly StoredInput[];
}

function stepFor(options: Augment[number], store: SampleStore): Step {
  const record = byName.get(options.name) as Augmentation;
  const inputs = store.inputs.filter(({ form }) => form.kind === record.kind);
  if (inputs.length === 0)
    fail(
      "AUGMENT_KIND",
      `The augmentation "${record.name}" changes ${kindWords[record.kind]}, but the model's inputs hold ${held(store.inputs)}.`,
      {
        subject: record.name,
        hint: `For such inputs: ${
          augmentations
            .filter((one) => store.inputs.some(({ form }) => form.kind === one.kind))
            .map((one) => one.name)
            .join(", ") || "none"
        }.`,
      },
    );
  if (record.moves && store.targetOnGrid)
    fail(
      "AUGMENT_KIND",
      `The augmentation "${record.name}" moves pixels, and the targets are pictures that would have to move alike.`,
      {
        subject: record.name,
        hint: "Use augmentations that leave pixels in place (color-jitter), or augment the files.",
      },
    );
  for (const { name, form } of inputs) {
    const why = record.unfit(form, options);
    if (why)
      fail("AUGMENT_KIND", `The augmentation "${record.name}" cannot change the input "${name}": ${why}.`, {
        subject: record.name,
      });
  }
  return { record, options, inputs };
}

function checkMixup(store: SampleStore, targets: TargetPlan): void {
  const other = store.inputs.find(({ dtype }) => dtype !== "float32");
  if (other)
    fail("AUGMENT_KIND", `The augmentation "mixup" averages inputs, but "${other.name}" holds ${other.dtype}.`, {
      subject: "mixup",
    });
  if (!targets.mixable)
    fail("AUGMENT_KIND", 'The augmentation "mixup" averages targets, but the targets are token numbers.', { subject: "mixup" });
}

/** Binds augmentations to the inputs that they can change. Throws AUGMENT_KIND when one has nothing to change. */
export function planAugmentation(input: AugmentInput, store: SampleStore, targets: TargetPlan): AugmentPlan {
  const list = resolveAugment(input);
  const steps = list.filter(({ name }) => name !== "mixup").map((options) => stepFor(options, store));
  const mixups = list.filter((options) => options.name === "mixup");
  if (mixups.length > 0) checkMixup(store, targets);
  return {
    row(feeds, row, uniform) {
      for (const { record, options, inputs } of steps)
        for (const input of inputs) {
          if ("probability" in options && uniform() >= options.probability) continue;
          changeRow(feeds[input.name] as TypedArray, row, input, (values) => record.apply(values, input.form, options, uniform));
        }
    },
    batch(feeds, labels, count, uniform) {
      const arrays = [...Object.values(feeds), ...Object.values(labels)] as Float32Array[];
      for (const options of mixups) mixRows(arrays, count, options, uniform);
    },
  };
}

const limits: Partial<Record<StoredInput["dtype"], readonly [number, number]>> = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65_535],
  int16: [-32_768, 32_767],
};

/** Hands one row over as the array that augmentations work on, and takes it back rounded to the input's element type. */
function changeRow(
  values: TypedArray,
  row: number,
  { dtype, size, form }: StoredInput,
  change: (values: Float32Array | Int32Array) => void,
): void {
  const part = values.subarray(row * size, (row + 1) * size);
  const direct = form.kind === "tokens" ? part instanceof Int32Array : part instanceof Float32Array;
  if (direct) {
    change(part as Float32Array);
    return;
  }
  const half = dtype === "float16";
  const numbers = Array.from(part as ArrayLike<number | bigint>, half ? (bits) => float16ToNumber(bits as number) : Number);
  const working = form.kind === "tokens" ? Int32Array.from(numbers) : Float32Array.from(numbers);
  change(working);
  const [least, most] = limits[dtype] ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const [i, value] of working.entries())
    if (part instanceof BigInt64Array || part instanceof BigUint64Array) part[i] = BigInt(Math.round(value));
    else if (half) part[i] = numberToFloat16(value);
    else part[i] = dtype === "float64" ? value : Math.min(most, Math.max(least, Math.round(value)));
}
