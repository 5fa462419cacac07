// Runs in a browser: bundled by train-in-browser.ts, which calls `train` of the page.
import * as ort from "onnxruntime-web/wasm";
import { toFloat32 } from "../../src/ir/index.ts";
import { trainingSession } from "../../src/runtime/executor.ts";
import { ortWeb } from "../../src/runtime/ort-web.ts";
import { localRuntime } from "../../src/runtime/stateful-local.ts";
import { splitTensors, type TensorFile, type TrainingOutcome, type TrainingTable } from "./training-files.ts";

const fetched = async (path: string): Promise<ArrayBuffer> => {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.arrayBuffer();
};
const tensorsIn = async ({ path, tensors }: TensorFile) => splitTensors(tensors, await fetched(path));

function base64(bytes: Uint8Array): string {
  let binary = "";
  const piece = 0x8000;
  for (let start = 0; start < bytes.length; start += piece)
    binary += String.fromCharCode(...bytes.subarray(start, start + piece));
  return btoa(binary);
}

async function train(tablePath: string): Promise<TrainingOutcome> {
  ort.env.wasm.wasmPaths = "/ort/";
  const table = JSON.parse(new TextDecoder().decode(await fetched(tablePath))) as TrainingTable;
  const runtime = localRuntime(ortWeb);
  const { stateInputs, stateOutputs } = table;
  const program = { bytes: new Uint8Array(await fetched(table.model)), stateInputs, stateOutputs };
  const step = await runtime.load(program, trainingSession(table.threads));
  await runtime.write(await tensorsIn(table.states));
  const losses: number[] = [];
  for (const feeds of table.steps) {
    const outputs = await step.run(await tensorsIn(feeds), [table.loss]);
    losses.push(toFloat32(outputs[table.loss] as never)[0] as number);
  }
  const states = await runtime.read(table.states.tensors.map(({ name }) => name));
  await runtime.close();
  return {
    isolated: globalThis.crossOriginIsolated,
    losses,
    states: Object.fromEntries(Object.entries(states).map(([name, tensor]) => [name, base64(tensor.bytes())])),
  };
}

Object.assign(globalThis, { train });
