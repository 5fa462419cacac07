import { float32Tensor } from "../ir/index.ts";
import { EdgewrightError } from "../util/errors.ts";
import { checkClassIndex } from "./class-names.ts";
import type { RawLabel } from "./define.ts";
import { byName } from "./files.ts";

const maxClasses = 100_000;

/** Collects a label column while a file is indexed, then says what the labels are: class indices, class names, or numbers. */
export class LabelColumn {
  readonly #names = new Set<string>();
  #integers = true;
  #numbers = true;

  see(value: string): void {
    const number = value.trim() === "" ? Number.NaN : Number(value);
    if (!Number.isFinite(number)) this.#numbers = false;
    if (!Number.isInteger(number) || number < 0) this.#integers = false;
    if (this.#names.size < maxClasses) this.#names.add(value);
  }

  /** `asked`: "class" or "value" decides where numbers could be either. `classes`: names in order, where they are known. */
  finish(classes: readonly string[] | undefined, asked: "class" | "value" | undefined): LabelReader {
    if (asked === "value" || (asked === undefined && this.#numbers && !this.#integers)) return numbers;
    if (this.#integers) return indices(classes);
    return named(classes ?? [...this.#names].sort(byName));
  }
}

export interface LabelReader {
  readonly kind: "class" | "tensor";
  readonly classes: readonly string[] | undefined;
  read(value: string, origin: string): RawLabel;
}

const numbers: LabelReader = {
  kind: "tensor",
  classes: undefined,
  read(value, origin) {
    const number = value.trim() === "" ? Number.NaN : Number(value);
    if (!Number.isFinite(number))
      throw new EdgewrightError("DATA_NOT_FINITE", `"${origin}" has the label "${value}", which is no number.`, {
        subject: origin,
      });
    return { kind: "tensor", tensor: float32Tensor([1], [number]) };
  },
};

const indices = (classes: readonly string[] | undefined): LabelReader => ({
  kind: "class",
  classes,
  read(value, origin) {
    const index = value.trim() === "" ? Number.NaN : Number(value);
    checkClassIndex(index, classes?.length, origin);
    return { kind: "class", index };
  },
});

function named(classes: readonly string[]): LabelReader {
  const byLabel = new Map(classes.map((name, index) => [name, index]));
  return {
    kind: "class",
    classes,
    read(value, origin) {
      const index = byLabel.get(value);
      if (index === undefined)
        throw new EdgewrightError(
          "DATA_LABEL_RANGE",
          `"${origin}" has the label "${value}", which is none of the ${classes.length} classes.`,
          {
            subject: origin,
            hint: "Correct the label, or give all class names with the option `classes`.",
          },
        );
      return { kind: "class", index };
    },
  };
}
