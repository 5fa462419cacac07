import { describe, expect, it } from "vitest";
import { encodeOnnx } from "../../src/formats/onnx/index.ts";
import { type Model, numel, type Tensor, tensorOf, toFloat32, type Value } from "../../src/ir/index.ts";
import { GraphBuilder } from "../../src/ops/builder.ts";
import { inferShapes } from "../../src/ops/infer.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { expandComposites } from "../../src/train/expand.ts";
import { vectorJacobian } from "../../src/train/gradient.ts";
import { seededRandom } from "../../src/util/random.ts";
import { caseTensors, type OpCase, type OpCases } from "../cases/define.ts";
import { opModel, recordOf } from "./op-model.ts";

/** Largest relative error ‖numeric − analytic‖ / ‖numeric‖ over the probed elements of one input: float32 differences reach 1e-4. */
const tolerance = 1e-3;
/** Elements of each input that are moved, chosen at random. */
const probes = 12;
/** Share of probes that may lie on a kink (a maximum changes hands, a limit is crossed), where no derivative exists. */
const kinksAllowed = 0.5;
/** A small step keeps clear of kinks and steep curves, a large one of rounding: the large one is tried first. */
const steps = [5e-2, 1e-2, 1e-3];

interface GradientModel {
  readonly forward: Model;
  readonly backward: Model;
  readonly feeds: Record<string, Tensor>;
  /** Names of the inputs whose gradients are outputs "d:<name>" of `backward`. */
  readonly inputs: readonly string[];
  readonly seeds: Readonly<Record<string, Float32Array>>;
}

/** The case's float inputs, constants too, as fed inputs; loss = Σ seed·output over its float outputs. */
function gradientModel(cases: OpCases, index: number): GradientModel {
  const one = cases.cases[index] as OpCase;
  const fedAll: OpCases = {
    ...cases,
    cases: cases.cases.map((c, i) =>
      i === index
        ? {
            ...c,
            inputs: c.inputs.map(
              (input, at) =>
                input && { ...input, constant: input.dtype !== "float32" || (recordOf(cases, c).fixedFloat32 && at > 0) },
            ),
          }
        : c,
    ),
  };
  const tensors = caseTensors(cases, index);
  const { model, feeds } = opModel(fedAll, index, undefined, { tensors });
  inferShapes(model);
  const forward = model.clone();
  const b = new GraphBuilder(model.graph, { opsets: model.opsets });
  expandComposites(b);
  const outputs = model.graph.outputs.filter((output) => output.type?.dtype === "float32");
  const uniform = seededRandom(index + 1);
  const seeds: Record<string, Float32Array> = {};
  const pairs = outputs.map((of) => {
    const values = Float32Array.from({ length: b.size(of) }, () => 2 * uniform() - 1);
    seeds[of.name] = values;
    return { of, seed: b.constant(tensorOf("float32", b.shape(of), values), "seed") };
  });
  const wrt = model.graph.inputs.filter((input) => input.type?.dtype === "float32");
  const gradients = vectorJacobian(b, pairs, wrt);
  model.graph.outputs.length = 0;
  wrt.forEach((input, i) => {
    const gradient = gradients[i];
    if (!gradient) return;
    model.graph.addOutput(b.op("Identity", [gradient]));
    model.graph.rename(model.graph.outputs.at(-1) as Value, `d:${input.name}`);
  });
  if (model.graph.outputs.length === 0) model.graph.addOutput(b.op("Identity", [b.scalar(0)]));
  return { forward, backward: model, feeds, inputs: wrt.map(({ name }) => name), seeds };
}

/** Σ seed·(after − before), in double precision: what did not change cancels exactly. */
function difference(
  seeds: GradientModel["seeds"],
  after: Readonly<Record<string, Tensor>>,
  before: Readonly<Record<string, Tensor>>,
): number {
  let sum = 0;
  for (const [name, seed] of Object.entries(seeds)) {
    const a = toFloat32(after[name] as Tensor);
    const z = toFloat32(before[name] as Tensor);
    for (let i = 0; i < seed.length; i++) sum += (seed[i] as number) * ((a[i] as number) - (z[i] as number));
  }
  return sum;
}

type Run = (feeds: Readonly<Record<string, Tensor>>) => Promise<Readonly<Record<string, Tensor>>>;

/** Fourth-order central differences; undefined where two steps disagree (a kink), NaN at the border of the function's domain. */
async function derivative({ feeds, seeds }: GradientModel, run: Run, name: string, at: number): Promise<number | undefined> {
  const original = feeds[name] as Tensor;
  const moved = async (by: number) => {
    const values = Float32Array.from(toFloat32(original));
    values[at] = (values[at] as number) + by;
    return run({ ...feeds, [name]: tensorOf("float32", original.shape, values) });
  };
  const central = async (h: number) => difference(seeds, await moved(h), await moved(-h)) / (2 * h);
  for (const h of steps) {
    const [whole, half] = [await central(h), await central(h / 2)];
    const estimate = (4 * half - whole) / 3;
    if (Number.isNaN(estimate)) return estimate;
    // a large step may straddle kinks that hardly show
    const agree = h > 1e-2 ? 1e-3 : 5e-3;
    if (Math.abs(whole - half) <= agree * Math.max(Math.abs(estimate), 0.1)) return estimate;
  }
  return undefined;
}

async function checkInput(model: GradientModel, run: Run, name: string, analytic: Float32Array | undefined): Promise<void> {
  const size = numel((model.feeds[name] as Tensor).shape);
  if (size === 0) return;
  const uniform = seededRandom(size);
  const places =
    size <= probes
      ? Array.from({ length: size }, (_, i) => i)
      : Array.from({ length: probes }, () => Math.floor(uniform() * size));
  let kinks = 0;
  let error = 0;
  let norm = 0;
  const seen: string[] = [];
  for (const at of places) {
    const numeric = await derivative(model, run, name, at);
    if (numeric === undefined) {
      kinks++;
      continue;
    }
    if (Number.isNaN(numeric)) continue;
    const found = analytic?.[at] ?? 0;
    seen.push(`[${at}] ${found} for ${numeric}`);
    error += (found - numeric) ** 2;
    norm += numeric ** 2;
  }
  expect(kinks, `${name}: too many of ${places.length} probes lie on a kink`).toBeLessThanOrEqual(kinksAllowed * places.length);
  // a zero gradient has no relative error: an absolute one of the noise's size stands in
  expect(Math.sqrt(error), `${name}: ${seen.join(", ")}`).toBeLessThanOrEqual(tolerance * Math.max(Math.sqrt(norm), 0.05));
}

/** A case takes part when it has a gradient rule, speaks float32 and runs here. */
function applies(cases: OpCases, one: OpCase): boolean {
  if (one.noKernel !== undefined) return false;
  // training raises models to the working opset first
  if (cases.domain === "" && (one.opset ?? cases.opset) < 21) return false;
  // what gives integers only has no gradient of its own (a quantize node passes it on: test/quantize-gradient.test.ts)
  if (recordOf(cases, one).fixedFloat32 && cases.type.startsWith("Quantize")) return false;
  const { gradient } = recordOf(cases, one);
  return gradient !== undefined && gradient !== "none" && one.inputs.some((input) => input?.dtype === "float32");
}

/** Analytic gradients of every input against finite differences of the forward model in onnxruntime. */
export function testGradients(all: readonly OpCases[]): void {
  for (const cases of all) {
    if (!cases.cases.some((one) => applies(cases, one))) continue;
    describe(cases.domain ? `${cases.domain}.${cases.type}` : cases.type, () => {
      cases.cases.forEach((one, index) => {
        if (!applies(cases, one)) return;
        it(`differentiates ${one.name}`, async () => {
          const model = gradientModel(cases, index);
          const options = { optimization: "disabled" } as const;
          const forward = await ortNode.load(encodeOnnx(model.forward), options);
          const backward = await ortNode.load(encodeOnnx(model.backward), options);
          try {
            const gradients = await backward.run(model.feeds);
            for (const name of model.inputs) {
              const analytic = gradients[`d:${name}`];
              await checkInput(model, (feeds) => forward.run(feeds), name, analytic && toFloat32(analytic));
            }
          } finally {
            await forward.release();
            await backward.release();
          }
        });
      });
    });
  }
}
