import { z } from "zod";
import type { AudioForm, ImageForm, InputForm, TokenForm } from "../form.ts";

/** What the kinds of augmentation change, and the array that they change it in. */
export interface AugmentedForms {
  readonly image: { readonly form: ImageForm; readonly values: Float32Array };
  readonly audio: { readonly form: AudioForm; readonly values: Float32Array };
  readonly tokens: { readonly form: TokenForm; readonly values: Int32Array };
}
export type AugmentedKind = keyof AugmentedForms;

/** Changes one sample's values in place; looks at nothing but its arguments, so the same numbers drawn give the same result. */
export type Apply<K extends AugmentedKind, O> = (
  values: AugmentedForms[K]["values"],
  form: AugmentedForms[K]["form"],
  options: O,
  uniform: () => number,
) => void;

/** A way to vary training samples, as data. */
export interface Augmentation {
  readonly name: string;
  readonly summary: string;
  readonly kind: AugmentedKind;
  /** Moves pixels: a target on the same grid would no longer fit. */
  readonly moves: boolean;
  /** Why a form of the right kind cannot be changed so; undefined: it can. */
  readonly unfit: (form: InputForm, options: unknown) => string | undefined;
  readonly apply: (values: Float32Array | Int32Array, form: InputForm, options: unknown, uniform: () => number) => void;
}

/**
 * One augmentation: a record in src/data/train/augment. `options` become its fields in a configuration beside `name`, unknown ones are
 * refused. `probability`, where it has one, is drawn before `apply`.
 */
export function defineAugmentation<const N extends string, K extends AugmentedKind, S extends z.ZodRawShape>(definition: {
  readonly name: N;
  readonly summary: string;
  readonly kind: K;
  readonly moves?: boolean;
  readonly options: S;
  readonly unfit?: (form: AugmentedForms[K]["form"], options: z.output<z.ZodObject<S>>) => string | undefined;
  readonly apply: Apply<K, z.output<z.ZodObject<S>>>;
}) {
  const { name, options, moves = false, unfit = () => undefined } = definition;
  return {
    ...definition,
    moves,
    unfit: unfit as unknown as Augmentation["unfit"],
    apply: definition.apply as unknown as Augmentation["apply"],
    schema: z.strictObject({ name: z.literal(name), ...options }),
  };
}

/** Share of the samples that are changed. */
export const probability = (usual: number) =>
  z.number().min(0).max(1).default(usual).describe("Share of samples that are changed");
