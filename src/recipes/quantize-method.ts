import { thisDevice } from "../measure/device.ts";
import { findTarget, type TargetDef } from "../targets/index.ts";

export const quantizeMethods = ["static", "dynamic", "fp16", "bf16", "weight-only"] as const;
export type QuantizeMethod = (typeof quantizeMethods)[number];

/** A target by name or alias; "here" is this machine. */
export function targetNamed(name = "here"): TargetDef {
  const device = thisDevice();
  return findTarget(name, { arch: device.arch, instructionSets: device.instructionSets ?? [] });
}

/** What is done where no method is asked for: integers, or what the target's row has in their place. */
export function usualMethod({ quantization: { quantizable, floatScheme } }: TargetDef): QuantizeMethod {
  if (quantizable !== false) return "static";
  return floatScheme === "int8-weights" ? "weight-only" : "fp16";
}

/** Methods that calibration data help, though they do without. */
export const takesSamples = (method: QuantizeMethod): boolean => ["fp16", "bf16", "weight-only"].includes(method);
