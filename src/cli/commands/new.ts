import { z } from "zod";
import type { Tensor } from "../../ir/index.ts";
import { modelCost } from "../../ops/index.ts";
import { saveModel } from "../../runtime/model-file.ts";
import { selectParameters } from "../../train/parameters.ts";
import { EdgewrightError } from "../../util/errors.ts";
import { architectures, buildModel, findArchitecture } from "../../zoo/index.ts";
import type { Command } from "../command-line.ts";
import { integer } from "../evaluation-flags.ts";
import { formatBytes, formatCount, printJson, printLine, table } from "../output.ts";

interface Flags {
  readonly output?: string;
  readonly seed?: number;
  readonly list?: boolean;
  readonly json?: boolean;
  readonly set?: readonly string[];
  readonly [option: string]: unknown;
}

/** Options that some architecture has, each once, with its description. */
function allOptions(): Map<string, string> {
  const found = new Map<string, string>();
  for (const { options } of architectures)
    for (const [name, schema] of Object.entries((options as z.ZodObject).shape))
      if (!found.has(name)) found.set(name, (schema as z.ZodType).description ?? "");
  return found;
}

/** `edgewright new`: a fresh model of the zoo. */
export function configure(command: Command): void {
  command
    .description("Write a model with fresh weights, ready to be trained.")
    .argument("[architecture]", "one of those that --list shows")
    .option("-o, --output <file>", "ONNX file to write")
    .option("--seed <n>", "decides the initial weights (default 0)", integer)
    .option("--list", "show every architecture with its size and options")
    .option("--json", "print one JSON document");
  for (const [name, description] of allOptions())
    command.option(`--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} <value>`, description);
  command
    .addHelpText(
      "after",
      `
Examples:
  edgewright new --list
  edgewright new mobilenet-v2 --classes 10 --width 0.35 --resolution 96 -o model.onnx`,
    )
    .action(run);
}

const reportSchema = z.object({ path: z.string(), bytes: z.number(), parameters: z.number(), macs: z.number() });
const listSchema = z.array(
  z.object({
    name: z.string(),
    summary: z.string(),
    source: z.string(),
    options: z.array(z.string()),
    parameters: z.number(),
    macs: z.number(),
  }),
);

/** Parameters and MACs of one sample. */
function sizeOf(model: ReturnType<typeof buildModel>): { parameters: number; macs: number } {
  const parameters = selectParameters(model.graph, model.opsets, {}).reduce(
    (sum, value) => sum + (value.constant as Tensor).size,
    0,
  );
  return { parameters, macs: modelCost(model).total.macs };
}

function list(flags: Flags): void {
  const rows = architectures.map(({ name, summary, source, options }) => ({
    name,
    summary,
    source,
    options: Object.keys((options as z.ZodObject).shape),
    ...sizeOf(buildModel(name)),
  }));
  if (flags.json) {
    printJson(listSchema, rows);
    return;
  }
  printLine(
    table(
      [
        ["architecture", "parameters", "MACs", "options"],
        ...rows.map(({ name, parameters, macs, options }) => [
          name,
          formatCount(parameters),
          formatCount(macs),
          options.join(" "),
        ]),
      ],
      { maxWidth: 90 },
    ),
  );
}

async function run(name: string | undefined, flags: Flags): Promise<void> {
  if (flags.list || name === undefined) return list(flags);
  const schema = findArchitecture(name).options as z.ZodObject;
  const known = allOptions();
  const given: Record<string, unknown> = {};
  for (const [option, value] of Object.entries(flags)) {
    if (!known.has(option)) continue;
    if (!(option in schema.shape))
      throw new EdgewrightError("ARCHITECTURE_OPTIONS", `${name} has no option "${option}".`, {
        subject: option,
        hint: `Its options are: ${Object.keys(schema.shape).join(", ")}.`,
      });
    given[option] = Number.isNaN(Number(value)) ? value : Number(value);
  }
  if (flags.output === undefined)
    throw new EdgewrightError("OUTPUT_MISSING", "There is no file to write to.", { hint: "Name one with -o model.onnx." });
  const model = buildModel(name, given, flags.seed ?? 0);
  const saved = await saveModel(model, flags.output);
  const size = sizeOf(model);
  if (flags.json) return printJson(reportSchema, { path: flags.output, bytes: saved.bytes, ...size });
  printLine(
    `${flags.output}: ${name}, ${formatCount(size.parameters)} parameters, ${formatCount(size.macs)} MACs, ${formatBytes(saved.bytes)}`,
  );
}
