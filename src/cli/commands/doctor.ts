import { type Check, diagnose, doctorSchema } from "../../measure/doctor.ts";
import { color } from "../color.ts";
import type { Command } from "../command-line.ts";
import { formatBytes, printJson, printLine, table } from "../output.ts";

const marks: Readonly<Record<Check["status"], string>> = {
  ok: color.green("yes"),
  missing: color.yellow("no"),
  broken: color.red("broken"),
  unknown: color.dim("unknown"),
};

export function configure(command: Command): void {
  command
    .description("Say which runtimes, instruction sets and optional tools this machine has, and what their absence costs.")
    .option("--json", "print one JSON document")
    .addHelpText("after", "\nExample:\n  edgewright doctor")
    .action(async ({ json }: { json?: boolean }) => {
      const report = await diagnose();
      if (json) return printJson(doctorSchema, report);
      const { device, checks } = report;
      printLine(`${device.cpu}, ${device.cores} cores, ${formatBytes(device.memoryBytes)} memory`);
      printLine(`${device.os} ${device.arch}, Node ${device.node}`);
      for (const group of ["runtime", "instruction set", "tool"] as const) {
        printLine();
        const rows = checks
          .filter((check) => check.group === group)
          .map((check) => [check.name, marks[check.status], check.detail]);
        printLine(table([[`${group}s`, "", ""], ...rows]));
      }
      const costs = checks.filter((check) => check.cost !== null);
      printLine();
      if (costs.length === 0) return printLine("Nothing is missing.");
      printLine("What the rest costs:");
      for (const { name, cost } of costs) printLine(`  ${name}: ${cost}.`);
    });
}
