import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import { Tensor } from "../../src/ir/index.ts";
import type { StatefulProgram } from "../../src/runtime/stateful.ts";
import { ortWebFolder, serveFiles } from "./browser.ts";
import { inTemporaryFolder } from "./run-cli.ts";
import { joinTensors, type TensorFile, type TrainingOutcome, type TrainingTable } from "./training-files.ts";

export interface BrowserTraining {
  readonly program: StatefulProgram;
  readonly states: Readonly<Record<string, Tensor>>;
  /** One entry a step. */
  readonly feeds: readonly Readonly<Record<string, Tensor>>[];
  /** Output of one number that every step gives. */
  readonly loss: string;
  readonly threads?: number;
}

export interface BrowserTrained {
  readonly isolated: boolean;
  readonly losses: readonly number[];
  readonly states: Readonly<Record<string, Tensor>>;
}

/** Trains in a page of `browser` with the runtime that pages of users get: `localRuntime(ortWeb)`, bundled for browsers. */
export const trainInBrowser = (browser: Browser, training: BrowserTraining): Promise<BrowserTrained> =>
  inTemporaryFolder(async (folder) => {
    writeTraining(folder, training);
    await bundlePage(join(folder, "page.js"));
    const server = await serveFiles({ "/ort/": ortWebFolder, "/training/": folder });
    const page = await browser.newPage();
    try {
      await page.goto(server.url);
      await page.addScriptTag({ url: "/training/page.js", type: "module" });
      const outcome = (await page.evaluate('train("/training/table.json")')) as TrainingOutcome;
      return { ...outcome, states: statesOf(training, outcome) };
    } finally {
      await page.close();
      await server.close();
    }
  });

function writeTraining(folder: string, { program, states, feeds, loss, threads = 1 }: BrowserTraining): void {
  const write = (name: string, bytes: Uint8Array | string): string => {
    writeFileSync(join(folder, name), bytes);
    return `/training/${name}`;
  };
  const tensorFile = (name: string, tensors: Readonly<Record<string, Tensor>>): TensorFile => {
    const { places, bytes } = joinTensors(tensors);
    return { path: write(name, bytes), tensors: places };
  };
  const { stateInputs, stateOutputs } = program;
  const table: TrainingTable = {
    model: write("step.onnx", program.bytes),
    stateInputs,
    stateOutputs,
    states: tensorFile("states.bin", states),
    steps: feeds.map((step, i) => tensorFile(`step-${i}.bin`, step)),
    loss,
    threads,
  };
  write("table.json", JSON.stringify(table));
}

async function bundlePage(outfile: string): Promise<void> {
  await build({
    entryPoints: [fileURLToPath(new URL("./training-page.ts", import.meta.url))],
    outfile,
    bundle: true,
    format: "esm",
    platform: "browser",
    // threads load onnxruntime's own module from its folder; inside a bundle it would not find itself
    conditions: ["onnxruntime-web-use-extern-wasm"],
    logLevel: "warning",
  });
}

const statesOf = ({ states }: BrowserTraining, outcome: TrainingOutcome): Readonly<Record<string, Tensor>> =>
  Object.fromEntries(
    Object.entries(states).map(([name, { dtype, shape }]) => [
      name,
      new Tensor(dtype, shape, new Uint8Array(Buffer.from(outcome.states[name] as string, "base64"))),
    ]),
  );
