import { EdgewrightError } from "../util/errors.ts";
import type { TargetDef } from "./define.ts";
import { ortArm64, ortWebTarget, ortX64, ortX64Vnni } from "./onnxruntime/targets.ts";

export const targets: readonly TargetDef[] = [ortX64Vnni, ortX64, ortArm64, ortWebTarget];

/** The target of a name or alias; "here" (also "node", "auto") is what this machine itself is. */
export function findTarget(
  name: string,
  machine: { readonly arch: string; readonly instructionSets: readonly string[] },
): TargetDef {
  const wanted = name.toLowerCase();
  if (["here", "node", "auto", "ort-node"].includes(wanted))
    return targets.find((target) => target.executor === "ort-node" && target.measuredBy(machine)) ?? ortX64;
  const found = targets.find((target) => target.name === wanted || target.aliases.includes(wanted));
  if (found) return found;
  throw new EdgewrightError("TARGET_UNKNOWN", `There is no target "${name}".`, {
    subject: name,
    hint: `Use one of: here, ${targets.map((target) => [target.name, ...target.aliases].join(" = ")).join("; ")}.`,
  });
}
