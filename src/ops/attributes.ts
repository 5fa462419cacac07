import type { Attribute, AttributeType, Graph, Tensor } from "../ir/index.ts";

/** Declares one attribute: its ONNX type and what stands for it when absent. */
export interface AttributeSpec<T> {
  readonly type: AttributeType;
  readonly default: T;
  readonly required: boolean;
}
export type AttributeSpecs = Readonly<Record<string, AttributeSpec<unknown>>>;
export type AttributeValues<A extends AttributeSpecs> = {
  readonly [K in keyof A]: A[K] extends AttributeSpec<infer T> ? T : never;
};

const spec = <T>(type: AttributeType, fallback: T, required = false): AttributeSpec<T> => ({ type, default: fallback, required });

/** `attr.int(-1)`: optional with a default; `attr.ints()`: optional, undefined when absent; `attr.required.int()`: must be there. */
export const attr = {
  int: <T extends number | undefined = undefined>(fallback?: T) =>
    spec<T extends number ? number : number | undefined>("int", fallback as never),
  float: <T extends number | undefined = undefined>(fallback?: T) =>
    spec<T extends number ? number : number | undefined>("float", fallback as never),
  string: <T extends string | undefined = undefined>(fallback?: T) =>
    spec<T extends string ? string : string | undefined>("string", fallback as never),
  ints: <T extends readonly number[] | undefined = undefined>(fallback?: T) =>
    spec<T extends readonly number[] ? readonly number[] : readonly number[] | undefined>("ints", fallback as never),
  floats: (fallback?: readonly number[]) => spec<readonly number[] | undefined>("floats", fallback),
  strings: (fallback?: readonly string[]) => spec<readonly string[] | undefined>("strings", fallback),
  tensor: () => spec<Tensor | undefined>("tensor", undefined),
  required: {
    int: () => spec<number>("int", 0, true),
    ints: () => spec<readonly number[]>("ints", [], true),
    string: () => spec<string>("string", "", true),
    tensor: () => spec<Tensor>("tensor", undefined as never, true),
    graph: () => spec<Graph>("graph", undefined as never, true),
  },
} as const;

/** Reads declared attributes from a node; throws through `reject` where one is missing or of another type. */
export function readAttributes(
  specs: AttributeSpecs,
  raw: ReadonlyMap<string, Attribute>,
  reject: (reason: string) => never,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, { type, default: fallback, required }] of Object.entries(specs)) {
    const attribute = raw.get(name);
    if (!attribute && required) reject(`attribute "${name}" is required`);
    if (attribute && attribute.type !== type) reject(`attribute "${name}" must be of type ${type}, not ${attribute.type}`);
    values[name] = attribute ? plainValue(attribute) : fallback;
  }
  return values;
}

function plainValue(attribute: Attribute): unknown {
  if (attribute.type === "int") return Number(attribute.value);
  if (attribute.type === "ints") return attribute.value.map(Number);
  return attribute.value;
}
