/**
 * What a teacher gives: a student of 20 thousand parameters on 4,000 Fashion-MNIST pictures, with and without, three seeds.
 *
 *   EDGEWRIGHT_DATA=… npx tsx bench/train/distill.ts
 *
 * Trains the teacher first (four times the student's channels, all 60,000 pictures; about four minutes), then six students.
 * Writes bench/train/distill.json and distill.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseTrainConfig, type TrainConfigInput } from "../../src/recipes/train/config.ts";
import { runTrainRequest } from "../../src/recipes/train/run.ts";
import { ortNode } from "../../src/runtime/ort-node.ts";
import { fashion, removeFolders } from "./tasks.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "edgewright-distill-"));
let runs = 0;

/** Validation accuracy of the last epoch: no choice among epochs favours anyone. */
async function accuracyOf(input: TrainConfigInput): Promise<{ accuracy: number; path: string; parameters: number }> {
  const out = join(work, `run${runs++}`);
  const { log, compiled } = await runTrainRequest({ config: parseTrainConfig(input, here), out });
  const last = log.entries.filter(({ validation }) => validation).at(-1)?.validation?.value ?? Number.NaN;
  const parameters = compiled.parameters.reduce((sum, { size }) => sum + size, 0);
  process.stderr.write(`${out}: ${last}\n`);
  return { accuracy: last, path: join(out, "model.onnx"), parameters };
}

const teacher = await accuracyOf(fashion({ model: { architecture: "cnn", width: 2 }, epochs: 6, threads: 2 }));
const student = (seed: number): TrainConfigInput =>
  fashion({
    model: { architecture: "cnn", width: 0.5 },
    limit: 4000,
    epochs: 15,
    seed,
    augment: [],
    optimizer: { name: "adamw", learningRate: 0.004, weightDecay: 0.01 },
    schedule: { name: "cosine" },
  });
const rows: { seed: number; alone: number; taught: number }[] = [];
let size = 0;
for (const seed of [1, 2, 3]) {
  const alone = await accuracyOf(student(seed));
  const taught = await accuracyOf({ ...student(seed), teacher: { model: teacher.path, temperature: 4, weight: 0.9 } });
  size = alone.parameters;
  rows.push({ seed, alone: alone.accuracy, taught: taught.accuracy });
}

const gains = rows.map(({ alone, taught }) => taught - alone);
const mean = gains.reduce((a, b) => a + b, 0) / gains.length;
const deviation = Math.sqrt(gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / (gains.length - 1));
/** Student's t for two degrees of freedom, 95 %. */
const half = (4.303 * deviation) / Math.sqrt(gains.length);
const device = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}, onnxruntime ${ortNode.version}`;
const result = { device, teacher: teacher.accuracy, student: size, rows, mean, interval: [mean - half, mean + half] };
writeFileSync(resolve(here, "distill.json"), `${JSON.stringify(result, null, 2)}\n`);
writeFileSync(
  resolve(here, "distill.md"),
  `# Distillation

Student: the small CNN at half width, ${size.toLocaleString("en")} parameters, 4,000 training pictures of Fashion-MNIST, 15 epochs. Teacher: the same at
double width on all 60,000, top-1 ${teacher.accuracy.toFixed(2)} %. Top-1 on the first 5,000 test pictures after the last epoch; temperature 4, teacher's share 0.9.
${device}. Made by \`bench/train/distill.ts\`.

| seed | labels alone | with the teacher | gain |
|---|---|---|---|
${rows.map(({ seed, alone, taught }) => `| ${seed} | ${alone.toFixed(2)} % | ${taught.toFixed(2)} % | ${(taught - alone).toFixed(2)} |`).join("\n")}

Mean gain ${mean.toFixed(2)} points, 95 % interval over seeds [${(mean - half).toFixed(2)}, ${(mean + half).toFixed(2)}] (Student's t).
`,
);
removeFolders();
rmSync(work, { recursive: true, force: true });
