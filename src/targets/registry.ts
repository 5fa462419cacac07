import { EdgewrightError } from "../util/errors.ts";
import type { TargetDef } from "./define.ts";
import { coremlEp, nnapi, qnn, xnnpack } from "./onnxruntime/providers.ts";
import { ortArm64, ortWebWasm, ortWebWebgpu, ortX64, ortX64NoVnni } from "./onnxruntime/targets.ts";
import { openvino } from "./openvino/target.ts";
import { tensorrt } from "./tensorrt/target.ts";
import { edgetpu, tflite, tflm } from "./tflite/targets.ts";

export const targets: readonly TargetDef[] = [
  ...[ortX64, ortX64NoVnni, ortArm64, ortWebWasm, ortWebWebgpu],
  ...[xnnpack, nnapi, qnn, coremlEp],
  ...[openvino, tensorrt],
  ...[tflite, tflm, edgetpu],
];

/** The target of a name or alias; "here" (also "node", "auto") is what this machine itself is. */
export function findTarget(
  name: string,
  machine: { readonly arch: string; readonly instructionSets: readonly string[] },
): TargetDef {
  const wanted = name.toLowerCase();
  if (["here", "node", "auto", "ort-node"].includes(wanted))
    return targets.find((target) => target.executor === "ort-node" && target.measuredBy(machine)) ?? ortX64NoVnni;
  const found = targets.find((target) => target.name === wanted || target.aliases.includes(wanted));
  if (found) return found;
  throw new EdgewrightError("TARGET_UNKNOWN", `There is no target "${name}".`, {
    subject: name,
    hint: `Use one of: here, ${targets.map((target) => [target.name, ...target.aliases].join(" = ")).join("; ")}.`,
  });
}
