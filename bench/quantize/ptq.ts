/**
 * Our post-training quantization on the draws of `ptq-draws.ts`, beside the peers' figures of `ptq-peers.json`: the same calibration
 * samples, evaluated on the same others.
 *
 *   EDGEWRIGHT_DATA=… npx tsx bench/quantize/ptq.ts [name…]
 *
 * Writes bench/quantize/ptq.json (ours, after every draw) and ptq.md.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PreparedSample } from "../../src/ir/index.ts";
import { runPass } from "../../src/passes/manager.ts";
import { valuesToObserve } from "../../src/passes/quantize/static.ts";
import { simplify } from "../../src/passes/simplify/index.ts";
import { observe } from "../../src/recipes/observe.ts";
import { contextOf } from "../../src/recipes/ptq/context.ts";
import { quantized } from "../../src/recipes/ptq/quantized.ts";
import { searchQuantization } from "../../src/recipes/ptq/search.ts";
import { ortEvaluate } from "../../src/runtime/evaluate.ts";
import { saveModel } from "../../src/runtime/model-file.ts";
import { draws, evaluateFile, modelFeeds, ptqModels } from "./ptq-draws.ts";

const path = fileURLToPath(new URL("ptq.json", import.meta.url));
const names = process.argv.length > 2 ? process.argv.slice(2) : ptqModels;
/** Seconds after which nothing new is begun. */
const seconds = 300;

async function* from(samples: readonly PreparedSample[]): AsyncGenerator<PreparedSample> {
  yield* samples;
}

async function measure(name: string, draw: number, { setup, evaluation, calibration }: Awaited<ReturnType<typeof draws>>) {
  const folder = mkdtempSync(join(tmpdir(), "edgewright-ptq-"));
  try {
    const samples = calibration[draw] as readonly PreparedSample[];
    const started = performance.now();
    const simplified = setup.model.clone();
    await runPass(simplify, simplified, {}, ortEvaluate);
    const row = setup.target.quantization;
    const statistics = await observe(simplified, valuesToObserve(simplified, row), from(samples), {
      executor: setup.executor,
      run: setup.task.run,
    });
    const context = contextOf({ setup, statistics, feeds: await modelFeeds(setup, samples), samples, options: {} });
    const found = await searchQuantization(simplified, context, { deadline: started + 1000 * seconds });
    const { best } = found;
    const model = await quantized(best.model, { row, statistics: best.statistics }, best.choices, best.options);
    const took = (performance.now() - started) / 1000;
    await saveModel(model, join(folder, "model.onnx"));
    const { result: _, ...figures } = await evaluateFile(setup, join(folder, "model.onnx"), evaluation);
    return { model: name, draw, calibration: samples.length, seconds: took, recipe: best.name, ...figures, trials: found.trials };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Row = Awaited<ReturnType<typeof measure>>;
for (const name of names) {
  const drawn = await draws(name);
  for (const draw of drawn.calibration.keys()) {
    const row = await measure(name, draw, drawn);
    // read anew: another process may be measuring other models
    const known: Row[] = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : [];
    const others = known.filter((other) => other.model !== name || other.draw !== draw);
    writeFileSync(path, `${JSON.stringify([...others, row], null, 1)}\n`);
    process.stdout.write(
      `${name} ${draw}: ${row.recipe}; ${row.metric} ${row.value.toFixed(2)} (${row.change.toFixed(2)}), agreement ${row.agreement?.toFixed(2)}, KL ${row.kl?.toExponential(2)}, SQNR ${row.sqnr.toFixed(1)}, ${row.seconds.toFixed(0)} s\n`,
    );
  }
}
