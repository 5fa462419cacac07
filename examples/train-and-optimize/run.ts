// A model from nothing to a phone-sized file in one script: trains a small network on the example's shapes, then lets `optimize` find the
// fastest file that loses at most one point.
//
//   npx tsx examples/train-and-optimize/run.ts [out]        (about a minute; needs `npm ci`)
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { optimize, train } from "edgewright";
import { parseEvalConfig } from "edgewright/measure";

const data = fileURLToPath(new URL("../shapes/data", import.meta.url));
const out = process.argv[2] ?? "out";

const trained = await train(
  {
    model: { architecture: "cnn", classes: 10, channels: 3, resolution: 48 },
    data,
    preprocess: "symmetric",
    epochs: 30,
    batch: 16,
    optimizer: { name: "adamw", learningRate: 0.002 },
    schedule: { name: "one-cycle" },
    augment: [{ name: "horizontal-flip" }, { name: "random-crop", padding: 4 }],
    output: join(out, "trained"),
  },
  {
    onProgress: ({ step, done, total, detail }) =>
      process.stderr.write(`\r${step} ${done}/${total ?? "?"} ${detail ?? ""}`.padEnd(100)),
  },
);
const { best } = trained;
console.log(
  `\ntrained: ${best?.metric} ${best?.value.toFixed(1)} ${best?.unit} on ${best?.samples} held-out pictures; ${join(out, "trained", "report.html")}`,
);

const evaluation = parseEvalConfig({ model: join(out, "trained", "model.onnx"), data, preprocess: "symmetric" }, process.cwd());
const manifest = await optimize({ evaluation, out: join(out, "optimized"), maxDrop: 1 });
console.log(manifest.verdict.recommendation);
console.log(join(out, "optimized", "report.html"));
