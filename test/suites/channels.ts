import { describe, expect, it } from "vitest";
import { encodeOnnx } from "../../src/formats/onnx/index.ts";
import { bitsOf, isFloat, isInteger, numel, Tensor, tensorOf, toNumbers } from "../../src/ir/index.ts";
import { channelLinks } from "../../src/ops/channel-links.ts";
import type { ChannelLink, PortAxis } from "../../src/ops/define.ts";
import { readAttributes } from "../../src/ops/index.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { type CaseInput, caseTensors, type OpCase, type OpCases } from "../cases/define.ts";
import { type CaseChange, opModel, recordOf, wantedOutputs } from "./op-model.ts";

type Tensors = readonly (Tensor | undefined)[];
interface Ports {
  readonly input: Tensors;
  readonly output: Tensors;
}
/** Which indices go, by axis of a port. */
type Cuts = ReadonlyMap<string, ReadonlySet<number>>;

const keyOf = ({ port, index, axis }: PortAxis): string => `${port} ${index} ${axis}`;

async function run(
  cases: OpCases,
  index: number,
  tensors: Tensors,
  attributes: NonNullable<CaseChange["attributes"]> = {},
): Promise<Tensors> {
  const { model, feeds } = opModel(cases, index, undefined, { tensors, attributes });
  const session = await ortNode.load(encodeOnnx(model), { optimization: "disabled" });
  try {
    const outputs = await session.run(feeds);
    return wantedOutputs(cases.cases[index] as OpCase).map((_, i) => outputs[`y${i}`]);
  } finally {
    await session.release();
  }
}

function linksOf(cases: OpCases, index: number, ports: Ports): readonly ChannelLink[] {
  const op = recordOf(cases, cases.cases[index] as OpCase);
  const node = opModel(cases, index).model.graph.firstNode;
  const attributes = readAttributes(op.attributes, node?.attributes ?? new Map(), (reason) => {
    throw new Error(reason);
  });
  const shapes = (tensors: Tensors) => tensors.map((tensor) => tensor?.shape);
  return channelLinks(op, { attributes, inputShapes: shapes(ports.input), outputShapes: shapes(ports.output) });
}

/** Follows all links, both ways, until nothing is added. */
function spread(start: PortAxis, index: number, links: readonly ChannelLink[], extentOf: (place: PortAxis) => number): Cuts {
  const cuts = new Map<string, Set<number>>([[keyOf(start), new Set([index])]]);
  const cut = (place: PortAxis, i: number): boolean => {
    const known = cuts.get(keyOf(place)) ?? new Set();
    if (i < 0 || i >= extentOf(place) || known.has(i)) return false;
    cuts.set(keyOf(place), known.add(i));
    return true;
  };
  for (let grew = true; grew; ) {
    grew = false;
    for (const { a, b, offset = 0, repeat = 1 } of links) {
      for (const j of cuts.get(keyOf(b)) ?? []) grew = cut(a, Math.floor((j - offset) / repeat)) || grew;
      for (const i of cuts.get(keyOf(a)) ?? []) for (let k = 0; k < repeat; k++) grew = cut(b, offset + i * repeat + k) || grew;
    }
  }
  return cuts;
}

/** Keeps (or, with `zero`, blanks the others) the entries along one axis. */
function along(tensor: Tensor, axis: number, gone: ReadonlySet<number>, zero: boolean): Tensor {
  const extent = tensor.shape[axis] as number;
  const chunk = numel(tensor.shape.slice(axis + 1)) * (bitsOf(tensor.dtype) / 8);
  const bytes = tensor.bytes();
  const parts: Uint8Array[] = [];
  for (let outer = 0; outer < numel(tensor.shape.slice(0, axis)); outer++)
    for (let i = 0; i < extent; i++) {
      const at = (outer * extent + i) * chunk;
      if (!gone.has(i)) parts.push(bytes.subarray(at, at + chunk));
      else if (zero) parts.push(new Uint8Array(chunk));
    }
  const shape = zero ? tensor.shape : tensor.shape.map((dim, i) => (i === axis ? dim - gone.size : dim));
  return new Tensor(tensor.dtype, shape, Uint8Array.from(parts.flatMap((part) => [...part])));
}

const applied = (port: "input" | "output", tensors: Tensors, cuts: Cuts, zero: boolean): Tensors =>
  tensors.map((tensor, index) => {
    let result = tensor;
    tensor?.shape.forEach((_, axis) => {
      const gone = cuts.get(keyOf({ port, index, axis }));
      if (gone && result) result = along(result, axis, gone, zero);
    });
    return result;
  });

/** Attributes that count channels follow the cut tensors. */
function adapted(cases: OpCases, index: number, tensors: Tensors, before: Tensors): NonNullable<CaseChange["attributes"]> {
  const { attributes = {} } = cases.cases[index] as OpCase;
  const changed: Record<string, number | undefined> = {};
  if (Number(attributes.group ?? 1) > 1 && tensors[0]?.shape[1] !== before[0]?.shape[1])
    changed.group = tensors[0]?.shape[1] as number;
  if (attributes.hidden_size !== undefined) changed.hidden_size = tensors[2]?.shape[2] as number;
  if (attributes.num_outputs !== undefined) changed.num_outputs = undefined; // the parts are given by size then
  return changed;
}

const int64s = (values: readonly number[]): Tensor => tensorOf("int64", [values.length], values);

/** Inputs that hold the result's extents: whoever cuts channels writes them anew. By op: the input, and what it holds. */
const sizeInputs: Readonly<
  Record<string, readonly [input: number, sizes: (outputs: Tensors, attributes: OpCase["attributes"]) => readonly number[]]>
> = {
  Reshape: [1, ([y]) => y?.shape ?? []],
  Expand: [1, ([y]) => y?.shape ?? []],
  Resize: [
    3,
    ([y], a) => ((a?.axes as readonly number[] | undefined) ?? y?.shape.map((_, i) => i) ?? []).map((i) => y?.shape.at(i) ?? 0),
  ],
  Split: [1, (parts, a) => parts.map((part) => part?.shape.at(Number(a?.axis ?? 0)) ?? 0)],
};

function resized(cases: OpCases, index: number, tensors: Tensors, outputs: Tensors): Tensors {
  const { attributes } = cases.cases[index] as OpCase;
  const [input, sizes] = (cases.domain === "" && sizeInputs[cases.type]) || [];
  if (input === undefined || !sizes || (!tensors[input] && attributes?.num_outputs === undefined)) return tensors;
  const result = [...tensors];
  result[input] = int64s(sizes(outputs, attributes));
  return result;
}

/** Sums of up to a few hundred products of numbers near 1, in float32, in another order. */
const close = 1e-4;

function expectEqual(found: Tensors, expected: Tensors, what: string): void {
  found.forEach((tensor, i) => {
    const wanted = expected[i];
    if (!tensor || !wanted) return;
    expect(tensor.shape, what).toEqual(wanted.shape);
    const [a, b] = [toNumbers(tensor), toNumbers(wanted)];
    const limit = isFloat(tensor.dtype) ? close : 0;
    const off = a.findIndex(
      (value, k) => !(Math.abs(value - (b[k] as number)) <= limit * Math.max(1, Math.abs(value)) || Object.is(value, b[k])),
    );
    expect(off < 0 ? "equal" : `output ${i} differs at ${off}: ${a[off]} and ${b[off]}`, what).toBe("equal");
  });
}

async function checkCut(cases: OpCases, index: number, cuts: Cuts, original: Ports): Promise<void> {
  const one = cases.cases[index] as OpCase;
  const reachesOutput = [...cuts.keys()].some((key) => key.startsWith("output"));
  // A sum over the axis is the same only without what is removed; every other link holds whatever is there.
  const zeroed = !reachesOutput || one.cutZeroed !== undefined;
  const whole = zeroed ? await run(cases, index, applied("input", original.input, cuts, true)) : original.output;
  const expected = applied("output", whole, cuts, false);
  const cut = resized(cases, index, applied("input", original.input, cuts, false), expected);
  const found = await run(cases, index, cut, adapted(cases, index, cut, original.input));
  expectEqual(found, expected, `cutting ${[...cuts].map(([key, gone]) => `${key} {${[...gone]}}`)}`);
}

/** Removes a channel at every linked axis in turn: the result must be the original's without that channel. Returns how many. */
export async function checkLinks(cases: OpCases, index: number): Promise<number> {
  const input = caseTensors(cases, index);
  const ports: Ports = { input, output: await run(cases, index, input) };
  const extentOf = ({ port, index: i, axis }: PortAxis): number => ports[port][i]?.shape[axis] ?? 0;
  const links = linksOf(cases, index, ports).filter(({ a, b }) => extentOf(a) > 0 && extentOf(b) > 0);
  const done = new Set<string>();
  let checks = 0;
  for (const start of links.flatMap(({ a, b }) => [a, b])) {
    if (done.has(keyOf(start))) continue;
    const cuts = spread(start, Math.floor(extentOf(start) / 2), links, extentOf);
    for (const key of cuts.keys()) done.add(key);
    const leavesSome = [...cuts].every(([key, gone]) => {
      const [port, i, axis] = key.split(" ");
      return gone.size < extentOf({ port: port as "input", index: Number(i), axis: Number(axis) });
    });
    if (!leavesSome) continue;
    await checkCut(cases, index, cuts, ports);
    checks++;
  }
  return checks;
}

const hasBytes = ({ dtype }: CaseInput): boolean => isInteger(dtype) || isFloat(dtype) || dtype === "bool";

/** Positions of the cases that the links of their op can be tried on. */
const cuttable = (cases: OpCases): number[] =>
  cases.cases.flatMap((one, index) => {
    const tried = one.noKernel === undefined && one.uncut === undefined && recordOf(cases, one).channels !== "barrier";
    return tried && one.inputs.every((input) => !input || hasBytes(input)) ? [index] : [];
  });

/** What remains of a model's result after a cut is the result of the cut model, for every case of every op that lets channels through. */
export function testChannelLinks(all: readonly OpCases[]): void {
  for (const cases of all) {
    const indices = cuttable(cases);
    if (indices.length === 0) continue;
    describe(cases.domain ? `${cases.domain}.${cases.type}` : cases.type, () => {
      it.each(indices.map((index) => [cases.cases[index]?.name, index] as const))("cuts %s", async (_, index) => {
        await checkLinks(cases, index);
      });
    });
  }
}
