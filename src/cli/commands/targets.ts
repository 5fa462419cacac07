import { thisDevice } from "../../measure/device.ts";
import type { IntegerOp } from "../../passes/index.ts";
import {
  describeTarget,
  findTarget,
  remarksOf,
  type TargetDescription,
  targetListSchema,
  targetSchema,
  targets,
} from "../../targets/index.ts";
import { color } from "../color.ts";
import type { Command } from "../command-line.ts";
import { printJson, printLine, table } from "../output.ts";

/** `edgewright targets`: the places where a model can be made to run, and what each wants. */
export function configure(command: Command): void {
  command
    .description("List the targets, or show one: how a quantized model must look there, op by op, and where that is written.")
    .argument("[name]", "a target's name or alias, or here")
    .option("--json", "print one JSON document")
    .addHelpText("after", "\nExample:\n  edgewright targets tflite")
    .action((name: string | undefined, { json }: { json?: boolean }) => {
      const { arch, instructionSets } = thisDevice();
      const machine = { arch, instructionSets: instructionSets ?? [] };
      if (name !== undefined) {
        const target = describeTarget(findTarget(name, machine), machine);
        return json ? printJson(targetSchema, target) : printTarget(target);
      }
      const here = findTarget("here", machine).name;
      const list = targets.map((target) => describeTarget(target, machine));
      if (json) return printJson(targetListSchema, { targets: list });
      const rows = list.map((target) => [target.name === here ? `${target.name} *` : target.name, target.summary, target.scheme]);
      printLine(table([["target", "where", "activations × weights"], ...rows], { maxWidth: 76 }));
      printLine();
      printLine("* this machine (--target here). `edgewright targets NAME` shows one.");
    });
}

function printTarget({ name, aliases, summary, executor, measuredHere, quantization: row }: TargetDescription): void {
  printLine(`${color.bold(name)}  ${summary}`);
  if (aliases.length > 0) printLine(`also ${aliases.join(", ")}`);
  printLine();
  const integer = row.quantizable !== false;
  const facts: [string, string][] = [
    ["scheme", row.summary],
    ...(integer ? integerFacts(row) : []),
    ["shapes", shapesOf(row)],
    ["operator set", row.maxOpset === undefined ? "any that Edgewright reads" : `up to ${row.maxOpset}`],
    ["executed here by", `${executor}${measuredHere ? "" : ", which stands in for it"}`],
    ["source", row.source],
  ];
  for (const [label, text] of facts) printLine(`${label.padEnd(18)}${text}`);
  if (integer) printOps(row);
}

/** Ops with something to say one by one, the others in a line for each role. */
function printOps({ ops }: Row): void {
  const entries = Object.entries(ops).map(([type, op]) => ({ type, role: op.role, remarks: remarksOf(op as IntegerOp) }));
  const special = entries.filter(({ remarks }) => remarks);
  printLine();
  if (special.length > 0) {
    printLine(
      table([["integer op", "role", ""], ...special.map(({ type, role, remarks }) => [type, role, remarks])], { maxWidth: 90 }),
    );
    printLine();
  }
  for (const role of ["anchor", "follow", "move"] as const) {
    const plain = entries.filter((entry) => entry.role === role && !entry.remarks).map(({ type }) => type);
    if (plain.length > 0) printLine(`${role.padEnd(18)}${plain.join(", ")}`);
  }
}

type Row = TargetDescription["quantization"];

function integerFacts({ activation, weight, bias, floatOps }: Row): [string, string][] {
  const bits = weight.reduceRange ? 7 : (weight.bits ?? 8);
  const parts = [weight.symmetric === false ? "any zero point" : "symmetric", `${bits} bits`];
  if (weight.narrowRange) parts.push("without the most negative integer");
  const floats = floatOps && Object.keys(floatOps);
  return [
    ["activations", `${activation.dtype}, ${activation.symmetric ? "symmetric" : "any zero point"}, one scale for a tensor`],
    ["weights", `${weight.dtype}, ${parts.join(", ")}, one scale ${weight.perChannel ? "per output channel" : "for a tensor"}`],
    ["biases", bias === "float32" ? "float32" : "int32 in steps of input scale times weight scale"],
    ["float ops", floats ? floats.join(", ") || "none: integers only" : "whatever its runtime knows"],
  ];
}

function shapesOf({ staticShapes, maxRank, innermostAxes }: Row): string {
  const parts = [staticShapes ? "static" : "static or open"];
  if (maxRank !== undefined) parts.push(`rank up to ${maxRank}`);
  if (innermostAxes !== undefined) parts.push(`only the ${innermostAxes} innermost axes longer than 1`);
  return parts.join(", ");
}
