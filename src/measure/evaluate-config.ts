import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, resolve } from "node:path";
import { z } from "zod";
import { splits } from "../data/split.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { Choice } from "./task.ts";

const choiceSchema = z.union([z.string(), z.strictObject({ name: z.string(), options: z.unknown().optional() })]);
export const toChoice = (choice: z.infer<typeof choiceSchema>): Choice =>
  typeof choice === "string" ? { name: choice } : choice;

/** Everything `edgewright eval` can be told, as one JSON document. Relative paths start from the file's own folder. */
export const evalConfigSchema = z.strictObject({
  /** What this configuration is for; not read. */
  description: z.string().optional(),
  model: z.string(),
  /** A path, or a path with the kind of data and its options. Not needed where a plug-in makes the samples. */
  data: z
    .union([
      z.string(),
      z.strictObject({ path: z.string(), kind: z.string().optional(), options: z.record(z.string(), z.unknown()).default({}) }),
    ])
    .optional(),
  /** A preset's name or a preprocessing object (docs/data.md). Default: the preset that scores best on a few samples. */
  preprocess: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
  /** Default: what the labels say. */
  task: z.string().optional(),
  /** Default: the task's. */
  metrics: z.array(choiceSchema).min(1).optional(),
  postprocess: z.array(choiceSchema).optional(),
  plugins: z.array(z.union([z.string(), z.strictObject({ path: z.string(), options: z.unknown().optional() })])).default([]),
  /** The original model: adds the difference to it, and fidelity metrics. */
  baseline: z.string().optional(),
  split: z.enum(splits).optional(),
  limit: z.int().positive().optional(),
  seed: z.int().default(0),
  threads: z.int().positive().optional(),
  /** Samples in one run, where the model's batch axis is free. */
  batch: z.int().positive().default(1),
  /** false: do not try other preprocessing presets on a few samples. */
  check: z.boolean().default(true),
  /** Values that must come out, within a tolerance in the metric's unit; otherwise the exit code is 2. */
  expect: z.array(z.strictObject({ metric: z.string(), value: z.number(), within: z.number().nonnegative() })).default([]),
});
export type EvalConfigInput = z.input<typeof evalConfigSchema>;
export type EvalConfig = z.output<typeof evalConfigSchema>;

/** Replaces `${NAME}` by environment variables. */
export function expandVariables(text: string, environment: Readonly<Record<string, string | undefined>> = process.env): string {
  return text.replace(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = environment[name];
    if (value !== undefined) return value;
    throw new EdgewrightError("VARIABLE_UNSET", `"${text}" uses the environment variable ${name}, which is not set.`, {
      hint: `Set it, e.g. ${name}=/path/to/data.`,
    });
  });
}

export const resolvePath = (path: string, folder: string): string => {
  const expanded = expandVariables(path);
  return isAbsolute(expanded) ? expanded : resolve(folder, expanded);
};

/** Checks a configuration and makes its paths absolute. */
export function parseEvalConfig(value: unknown, folder: string, subject?: string): EvalConfig {
  const parsed = evalConfigSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new EdgewrightError(
      "CONFIG_INVALID",
      `The evaluation is not valid at ${issue?.path.join(".") || "its top"}: ${issue?.message}.`,
      {
        ...(subject ? { subject } : {}),
        hint: "docs/plugins.md shows a complete configuration.",
      },
    );
  }
  const config = parsed.data;
  const path = (given: string): string => resolvePath(given, folder);
  return {
    ...config,
    model: path(config.model),
    ...(config.baseline === undefined ? {} : { baseline: path(config.baseline) }),
    ...(config.data === undefined
      ? {}
      : { data: typeof config.data === "string" ? path(config.data) : { ...config.data, path: path(config.data.path) } }),
    plugins: config.plugins.map((plugin) => (typeof plugin === "string" ? path(plugin) : { ...plugin, path: path(plugin.path) })),
  };
}

/** Reads a configuration file (JSON). */
export async function readEvalConfig(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new EdgewrightError("CONFIG_READ", `The configuration "${path}" cannot be read.`, { subject: path, cause });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new EdgewrightError("CONFIG_JSON", `The configuration "${path}" is not JSON: ${(cause as Error).message}.`, {
      subject: path,
      cause,
    });
  }
  throw new EdgewrightError("CONFIG_JSON", `The configuration "${path}" must hold an object.`, { subject: path });
}

export const folderOf = (path: string): string => dirname(resolve(path));
