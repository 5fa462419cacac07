import { join } from "node:path";
import { z } from "zod";
import { deviceSchema, thisDevice } from "../../measure/device.ts";
import { ortNodeVersion } from "../../runtime/load-ort.ts";
import { fileBytes, fileDigest } from "../../runtime/model-file.ts";
import { toolVersion } from "../tool-version.ts";
import { writeWhole } from "../workspace.ts";
import type { TrainConfig } from "./config.ts";
import type { TrainOutcome } from "./run.ts";

/** What train.json says about a run: settings, what was measured, on what. */
export const trainManifestSchema = z.object({
  tool: z.object({ version: z.string(), onnxruntime: z.string() }),
  createdAt: z.string(),
  device: deviceSchema,
  config: z.record(z.string(), z.unknown()),
  reason: z.enum(["finished", "stopped"]),
  parameters: z.number(),
  steps: z.number(),
  samples: z.object({ training: z.number(), validation: z.number() }),
  wallSeconds: z.number(),
  /** Median over the log, the first lines left out. */
  samplesPerSecond: z.number().nullable(),
  finalLoss: z.number().nullable(),
  best: z.object({ epoch: z.number(), metric: z.string(), value: z.number(), unit: z.string(), samples: z.number() }).nullable(),
  files: z.array(z.object({ path: z.string(), bytes: z.number(), digest: z.string() })),
});
export type TrainManifest = z.infer<typeof trainManifestSchema>;

const median = (values: readonly number[]): number | null =>
  values.length === 0 ? null : (values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number);

export async function describeRun(outcome: TrainOutcome, config: TrainConfig): Promise<TrainManifest> {
  const { log, best, validation, out } = outcome;
  const lines = log.entries.filter((entry) => entry.loss !== undefined);
  const path = join(out, "model.onnx");
  return {
    tool: { version: toolVersion(), onnxruntime: ortNodeVersion() },
    createdAt: new Date().toISOString(),
    device: thisDevice(),
    config: { ...config },
    reason: outcome.reason === "stopped" ? "stopped" : "finished",
    parameters: outcome.compiled.parameters.reduce((sum, { size }) => sum + size, 0),
    steps: outcome.steps,
    samples: outcome.samples,
    wallSeconds: outcome.wallSeconds,
    samplesPerSecond: median(lines.slice(1).flatMap(({ samplesPerSecond }) => samplesPerSecond ?? [])),
    finalLoss: lines.at(-1)?.loss ?? null,
    best: best && validation ? { ...best, metric: validation.metric, unit: validation.unit, samples: validation.samples } : null,
    files: [{ path: "model.onnx", bytes: await fileBytes(path), digest: await fileDigest(path) }],
  };
}

export const writeRun = (out: string, manifest: TrainManifest): Promise<void> =>
  writeWhole(join(out, "train.json"), `${JSON.stringify(trainManifestSchema.parse(manifest), null, 2)}\n`);
