import { formatType } from "../ir/index.ts";
import { fail } from "../util/errors.ts";
import type { ModelInput } from "./features/define.ts";

const describeInputs = (inputs: readonly ModelInput[]): string =>
  inputs.map((input) => `"${input.name}" ${formatType(input.type)}`).join(", ") || "none";

/** One feature's names as the binder sees them: the first stands for the feature itself. */
export interface BindableFeature {
  readonly names: readonly string[];
  readonly companions?: readonly string[] | undefined;
}

export interface Binding {
  /** Feature name → model input. */
  readonly inputs: ReadonlyMap<string, ModelInput>;
  readonly constants: readonly { readonly input: ModelInput; readonly value: number }[];
}

/**
 * Decides which feature feeds which model input: first what `map` says (feature → input), then equal names, then the one feature and
 * the one input that are left. Every model input must end up fed.
 */
export function bindInputs(
  features: readonly BindableFeature[],
  inputs: readonly ModelInput[],
  map: Readonly<Record<string, string>>,
  constants: Readonly<Record<string, number>>,
): Binding {
  const offered = features.flatMap((feature) => [...feature.names, ...(feature.companions ?? [])]);
  const bound = new Map<string, ModelInput>();
  const open = new Map(inputs.map((input) => [input.name, input]));
  const take = (name: string, asked: string): ModelInput => {
    const input = open.get(name);
    if (!input)
      fail("PREPROCESS_INPUT", `${asked} names the model input "${name}"; the model's inputs are ${describeInputs(inputs)}.`, {
        hint: "Use each of these names once.",
      });
    open.delete(name);
    return input;
  };
  for (const [feature, name] of Object.entries(map)) {
    if (!offered.includes(feature))
      fail("PREPROCESS_INPUT", `\`inputs\` maps the feature "${feature}", but the data set offers ${offered.join(", ")}.`);
    bound.set(feature, take(name, `inputs.${feature}`));
  }
  const fixed = Object.entries(constants).map(([name, value]) => ({ input: take(name, `constants.${name}`), value }));
  for (const name of offered) if (!bound.has(name) && open.has(name)) bound.set(name, take(name, name));
  const primary = features.filter((feature) => !feature.names.some((name) => bound.has(name))).map((f) => f.names[0] as string);
  if (open.size === 1 && primary.length === 1) {
    const [name] = open.keys();
    bound.set(primary[0] as string, take(name as string, primary[0] as string));
  }
  if (open.size > 0) unfed([...open.values()], offered);
  return { inputs: bound, constants: fixed };
}

function unfed(inputs: readonly ModelInput[], offered: readonly string[]): never {
  fail(
    "PREPROCESS_INPUT",
    `Nothing feeds the model's input ${describeInputs(inputs)}; the data set offers ${offered.join(", ")}.`,
    {
      hint: 'Bind features by name with `inputs: {"feature": "model input"}`, or give `constants: {"model input": 0}`.',
    },
  );
}
