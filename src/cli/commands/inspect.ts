import { inspectModel } from "../../measure/inspect.ts";
import { type Inspection, type InspectLayer, inspectSchema } from "../../measure/inspect-schema.ts";
import { fail } from "../../util/errors.ts";
import { color } from "../color.ts";
import type { Command } from "../command-line.ts";
import { formatBytes, formatCount, printJson, printLine, table, withProgress } from "../output.ts";
import { parseShape, type ShapeFlags } from "../shape-option.ts";

interface Flags {
  readonly shape?: ShapeFlags;
  readonly layers: number;
  readonly json?: boolean;
}

function parseCount(text: string): number {
  if (text === "all") return Number.POSITIVE_INFINITY;
  if (!/^\d+$/.test(text))
    fail("NUMBER_SYNTAX", `"${text}" is not a number of layers.`, { hint: "Give a whole number, or all." });
  return Number(text);
}

export function configure(command: Command): void {
  command
    .description("Say what a model is: inputs, outputs, size, MACs, memory, its dearest layers, and what is wrong with it.")
    .argument("<model>", "an ONNX file")
    .option("--shape <name=dims>", "fix the shape of an input (again for more inputs)", parseShape)
    .option("--layers <n>", "how many layers to list, dearest first, or all", parseCount, 8)
    .option("--json", "print one JSON document")
    .addHelpText("after", "\nExample:\n  edgewright inspect model.onnx --shape input=1,3,224,224 --layers 20")
    .action(async (path: string, { shape = {}, layers, json }: Flags) => {
      const inspection = await withProgress("inspect", (run) => inspectModel(path, { ...run, inputShapes: shape }));
      if (json) return printJson(inspectSchema, inspection);
      print(inspection, layers);
    });
}

function print(inspection: Inspection, layers: number): void {
  const { model } = inspection;
  const header = [formatBytes(model.bytes), `opset ${model.opset}`, `IR ${model.irVersion}`, model.producer].filter(Boolean);
  printLine(`${color.bold(model.path ?? "")}  ${header.join(" · ")}`);
  printLine(table(portRows(inspection), { header: false, indent: "  " }));
  printLine();
  printLine(
    [
      `${inspection.nodes} nodes`,
      `${formatCount(inspection.parameters)} parameters`,
      `${formatCount(inspection.macs)} MACs`,
      `${formatBytes(inspection.peakActivationBytes)} peak activations`,
    ].join(" · ") + color.dim(assumption(inspection)),
  );
  printLine(opTypeLine(inspection.opTypes));
  printLayers(inspection.layers, layers);
  printWarnings(inspection.warnings);
}

/** Ports in the order of the model; a long list is cut so that the summary stays on one screen. */
function portRows({ inputs, outputs }: Inspection): string[][] {
  const rows = (title: string, ports: Inspection["inputs"]): string[][] => {
    const shown = ports.slice(0, 4).map((port, i) => [i === 0 ? title : "", port.name, portType(port)]);
    return ports.length > 4 ? [...shown, ["", `and ${ports.length - 4} more`, ""]] : shown;
  };
  return [...rows("in", inputs), ...rows("out", outputs)];
}

const portType = ({ kind, dtype, shape }: Inspection["inputs"][number]): string =>
  dtype ? `${dtype} ${shape ? shapeText(shape) : "of unknown rank"}` : kind === "unknown" ? "unknown type" : kind;

const shapeText = (shape: readonly (number | string)[] | null | undefined): string => (shape ? `[${shape.join(", ")}]` : "?");

/** "(for input 1, 3, 224, 224)" where the model leaves extents open. */
function assumption({ inputs, costShapes }: Inspection): string {
  const open = inputs.filter(({ shape }) => shape?.some((dim) => typeof dim !== "number"));
  const texts = open.slice(0, 2).map(({ name }) => `${name} ${shapeText(costShapes[name])}`);
  return texts.length > 0 ? `  for ${texts.join(", ")}${open.length > 2 ? ", …" : ""}` : "";
}

function opTypeLine(opTypes: Inspection["opTypes"]): string {
  const entries = Object.entries(opTypes);
  const shown = entries.slice(0, 9).map(([type, count]) => `${type} ${count}`);
  return color.dim([...shown, ...(entries.length > 9 ? [`${entries.length - 9} more op types`] : [])].join(" · "));
}

const percent = (share: number): string => (share === 0 ? "–" : `${(100 * share).toFixed(1)} %`);

function printLayers(all: readonly InspectLayer[], count: number): void {
  const byCost = [...all].sort((a, b) => b.macs - a.macs || b.bytes - a.bytes);
  const shown = count === Number.POSITIVE_INFINITY ? all : byCost.slice(0, count);
  if (shown.length === 0) return;
  const rows = shown.map((layer) => [
    layer.name,
    layer.opType,
    shapeText(layer.outputShapes[0]),
    formatCount(layer.macs),
    percent(layer.macsShare),
    formatCount(layer.parameters),
    percent(layer.parametersShare),
    formatBytes(layer.bytes),
  ]);
  const heading = ["layer", "op", "output", "MACs", "", "params", "", "moved"];
  const align = ["left", "left", "left", "right", "right", "right", "right", "right"] as const;
  printLine();
  printLine(table([heading, ...rows], { maxWidth: 34, align }));
  const rest = all.length - shown.length;
  if (rest > 0) {
    const left = 1 - shown.reduce((sum, layer) => sum + layer.macsShare, 0);
    printLine(color.dim(`${rest} more layers with ${percent(Math.max(0, left))} of the MACs; --layers all lists them in order`));
  }
}

function printWarnings(warnings: Inspection["warnings"]): void {
  if (warnings.length > 0) printLine();
  for (const { message, subjects } of warnings) {
    const named = subjects.slice(0, 3).join(", ") + (subjects.length > 3 ? ", …" : "");
    printLine(`${color.yellow("!")} ${message} ${color.dim(named.length > 100 ? `${named.slice(0, 99)}…` : named)}`);
  }
}
