import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { encodeOnnx } from "../../src/formats/onnx/index.ts";
import { type Dim, substitute, symbolsOf, type Tensor, type TensorType } from "../../src/ir/index.ts";
import { inferShapes } from "../../src/ops/infer.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import type { OpCase, OpCases } from "../cases/define.ts";
import { opModel, symbolic } from "./op-model.ts";

const isCases = (value: unknown): value is OpCases =>
  typeof value === "object" && value !== null && "cases" in value && "type" in value;

/** Everything that the files of test/cases export. */
export async function allCases(): Promise<OpCases[]> {
  const folder = new URL("../cases/", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".ts") && name !== "define.ts");
  const found: OpCases[] = [];
  for (const name of files.sort()) {
    const exported = (await import(new URL(name, folder).href)) as Record<string, unknown>;
    for (const value of Object.values(exported).flat()) if (isCases(value)) found.push(value);
  }
  return found;
}

/** What onnxruntime gives, by output name; integers as onnxruntime returns them. */
export async function runCase(cases: OpCases, index: number): Promise<Readonly<Record<string, Tensor>>> {
  const { model, feeds } = opModel(cases, index);
  const session = await ortNode.load(encodeOnnx(model), { optimization: "disabled" });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

async function realTypes(cases: OpCases, index: number): Promise<Map<string, TensorType>> {
  const one = cases.cases[index] as OpCase;
  if (one.noKernel === undefined) {
    const outputs = await runCase(cases, index);
    return new Map(Object.entries(outputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }]));
  }
  await expect(runCase(cases, index), `"${one.noKernel}" holds no longer: onnxruntime runs it`).rejects.toThrow(
    /onnxruntime-node/,
  );
  return new Map((one.expected ?? []).map(([dtype, shape], i) => [`y${i}`, { dtype, shape }]));
}

type Declare = (tensor: Tensor) => TensorType;

function inferred(cases: OpCases, index: number, declare?: Declare): Map<string, TensorType | undefined> {
  const { model } = opModel(cases, index, declare);
  const { info } = inferShapes(model);
  return new Map(model.graph.outputs.map((value) => [value.name, info.get(value)]));
}

/** Symbols stand for their value: d7 is 7. */
const evaluate = (dim: Dim): Dim => substitute(dim, Object.fromEntries(symbolsOf(dim).map((s) => [s, Number(s.slice(1))])));

/** `mayBeUnknown`: "?" and unknown ranks pass; what is known must be right all the same. */
function expectType(found: TensorType | undefined, real: TensorType, mayBeUnknown: boolean, what: string): void {
  if (!found?.shape) expect(mayBeUnknown, `${what}: ${found ? "no rank" : "nothing"} was inferred`).toBe(true);
  if (!found) return;
  expect(found.dtype, `${what}: dtype`).toBe(real.dtype);
  if (!found.shape) return;
  const shape = found.shape.map(evaluate);
  const comparable =
    mayBeUnknown && shape.length === real.shape?.length ? shape.map((d, i) => (d === "?" ? real.shape?.[i] : d)) : shape;
  expect(comparable, `${what}: shape [${found.shape}]`).toEqual(real.shape);
}

/** Inferred types against what onnxruntime really produces: static, symbolic and unranked inputs. */
export function testOps(all: readonly OpCases[]): void {
  for (const cases of all)
    describe(cases.domain ? `${cases.domain}.${cases.type}` : cases.type, () => {
      cases.cases.forEach((one, index) => {
        it(`infers ${one.name}`, async () => {
          const real = await realTypes(cases, index);
          const modes: [string, boolean, Declare | undefined][] = [
            ["static", one.dataDependent !== undefined, undefined],
            ["symbolic", (one.symbolicUnknown ?? one.dataDependent) !== undefined, symbolic],
            ["unranked", true, ({ dtype }) => ({ dtype, shape: undefined })],
          ];
          for (const [mode, mayBeUnknown, declare] of modes) {
            const found = inferred(cases, index, declare);
            for (const [name, type] of real) expectType(found.get(name), type, mayBeUnknown, `${mode} ${name}`);
          }
        });
      });
    });
}
