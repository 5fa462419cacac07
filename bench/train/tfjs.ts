/**
 * Training steps beside TensorFlow.js' WebAssembly backend, turn by turn, one thread each: a net of dense layers, the only kind that it can
 * train (it has no gradients of convolutions).
 *
 *   npm install --prefix .tfjs @tensorflow/tfjs @tensorflow/tfjs-backend-wasm
 *   npx tsx bench/train/tfjs.ts [--folder .tfjs]
 *
 * Writes bench/train/tfjs.json and tfjs.md. CPU time; ratios are medians over rounds.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { encodeOnnx } from "../../src/formats/index.ts";
import { tensorOf } from "../../src/ir/index.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { type Executor, trainingSession } from "../../src/runtime/executor.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { ortWeb } from "../../src/runtime/ort-web.ts";
import { localRuntime } from "../../src/runtime/stateful-local.ts";
import { compileTraining } from "../../src/train/compile.ts";
import { lossSchema } from "../../src/train/losses.ts";
import { optimizerSchema } from "../../src/train/optimizers.ts";
import { prepareForTraining } from "../../src/train/prepare.ts";
import { buildModel } from "../../src/zoo/index.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const flag = process.argv.indexOf("--folder");
const folder = resolve(flag > 0 ? (process.argv[flag + 1] as string) : ".tfjs");
const [batch, rounds, repeats] = [128, 9, 5];

async function ours(executor: Executor): Promise<() => Promise<number>> {
  const prepared = await prepareForTraining(buildModel("lenet-300-100"), { evaluate: ortEvaluate });
  const { step, initialStates } = compileTraining(prepared, {
    batch,
    losses: [lossSchema.parse({ name: "softmax-cross-entropy" })],
    optimizer: optimizerSchema.parse({ name: "sgd", momentum: 0.9 }),
  });
  const runtime = localRuntime(executor);
  await runtime.write(initialStates());
  const loaded = await runtime.load({ ...step, bytes: encodeOnnx(step.model) }, trainingSession(1));
  const feeds = {
    ...Object.fromEntries(
      step.dataInputs.map(({ name, dtype, shape }) => {
        const size = shape.reduce((a, d) => a * d, 1);
        const values = Float32Array.from({ length: size }, (_, i) =>
          name === "target" ? Number(i % 10 === Math.floor(i / 10) % 10) : Math.sin(i),
        );
        return [name, tensorOf(dtype, shape, values)];
      }),
    ),
    ...Object.fromEntries(
      Object.keys(step.hyperparameters).map((name) => [name, tensorOf("float32", [], [name === "learning_rate" ? 0.01 : 1])]),
    ),
  };
  const once = async (): Promise<number> => {
    const start = process.cpuUsage();
    await loaded.run(feeds);
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  };
  await once();
  await once();
  return async () => {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < repeats; i++) best = Math.min(best, await once());
    return best;
  };
}

const peer = spawn(process.execPath, [resolve(here, "../peers/train_tfjs.mjs"), folder], { stdio: ["pipe", "pipe", "ignore"] });
const lines = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
const next = async (): Promise<{ version?: string; cpuMs?: number[]; error?: string }> =>
  JSON.parse((await lines.next()).value as string);
const { version } = await next();
async function theirs(net: string): Promise<{ cpuMs?: number[]; error?: string }> {
  peer.stdin.write(`${net} ${repeats}\n`);
  return next();
}

const sides = { node: await ours(ortNode), web: await ours(ortWeb) };
const times = { node: [] as number[], web: [] as number[], tfjs: [] as number[] };
for (let round = 0; round < rounds; round++) {
  times.node.push(await sides.node());
  times.web.push(await sides.web());
  times.tfjs.push(Math.min(...((await theirs("mlp")).cpuMs ?? [])));
}
const convolution = (await theirs("cnn")).error ?? "trains";
peer.stdin.end();
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
const ratio = (side: readonly number[]): number => median(times.tfjs.map((time, i) => time / (side[i] as number)));
const result = {
  device: `${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}, onnxruntime ${ortNode.version}, tfjs ${version}`,
  milliseconds: { node: median(times.node), web: median(times.web), tfjs: median(times.tfjs) },
  tfjsOverNode: ratio(times.node),
  tfjsOverWeb: ratio(times.web),
  convolution,
};
writeFileSync(resolve(here, "tfjs.json"), `${JSON.stringify(result, null, 2)}\n`);
writeFileSync(
  resolve(here, "tfjs.md"),
  `# Training step beside TensorFlow.js

784-300-100-10, batch ${batch}, SGD with momentum, one thread, CPU time of the best of ${repeats}, median of ${rounds} interleaved rounds. ${result.device}.
Made by \`bench/train/tfjs.ts\`.

| engine | step (ms) | tfjs ÷ it |
|---|---|---|
| tfjs, wasm backend | ${result.milliseconds.tfjs.toFixed(1)} | 1 |
| Edgewright in onnxruntime-web (WASM) | ${result.milliseconds.web.toFixed(1)} | ${result.tfjsOverWeb.toFixed(1)} |
| Edgewright in onnxruntime-node | ${result.milliseconds.node.toFixed(1)} | ${result.tfjsOverNode.toFixed(1)} |

Convolutions with tfjs' wasm backend: ${convolution}.
`,
);
