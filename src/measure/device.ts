import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { arch, cpus, release, totalmem, type } from "node:os";
import { z } from "zod";

/** Instruction sets that decide which kernels a runtime picks, with the names that Linux gives their CPU flags. */
export const instructionSetNames = {
  avx2: "AVX2",
  f16c: "F16C",
  avx_vnni: "AVX-VNNI",
  avx512f: "AVX-512",
  avx512_vnni: "AVX-512 VNNI",
  avx512_bf16: "AVX-512 BF16",
  avx512_fp16: "AVX-512 FP16",
  amx_int8: "AMX INT8",
  asimd: "NEON",
  asimdhp: "NEON FP16",
  asimddp: "NEON dot product",
  i8mm: "NEON I8MM",
  sve: "SVE",
} as const;
export type InstructionSet = keyof typeof instructionSetNames;

export const deviceSchema = z.object({
  os: z.string(),
  arch: z.string(),
  cpu: z.string(),
  /** Logical cores. */
  cores: z.number(),
  memoryBytes: z.number(),
  /** The subset of `instructionSetNames` that the CPU offers; null where the system does not tell. */
  instructionSets: z.array(z.string()).nullable(),
  node: z.string(),
  /** One line for a measurement. */
  summary: z.string(),
});
export type Device = z.infer<typeof deviceSchema>;

const known = (flags: ReadonlySet<string>): InstructionSet[] =>
  (Object.keys(instructionSetNames) as InstructionSet[]).filter((name) => flags.has(name));

/** Reads the first processor's "flags" (x86) or "Features" (ARM) line of /proc/cpuinfo; undefined if there is none. */
export function instructionSetsOfCpuinfo(text: string): InstructionSet[] | undefined {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1];
  return line === undefined ? undefined : known(new Set(line.trim().split(/\s+/)));
}

/** macOS names of the same features: `hw.optional.*` counts, or words in `machdep.cpu.*features` on Intel. */
const sysctlNames: Partial<Record<InstructionSet, RegExp>> = {
  avx2: /^hw\.optional\.avx2_0: 1$|^machdep\.cpu\.leaf7_features:.*\bAVX2\b/m,
  f16c: /^machdep\.cpu\.features:.*\bF16C\b/m,
  avx512f: /^hw\.optional\.avx512f: 1$/m,
  avx512_vnni: /^hw\.optional\.avx512vnni: 1$/m,
  asimd: /^hw\.optional\.(neon|AdvSIMD): 1$/m,
  asimdhp: /^hw\.optional\.(neon_fp16|arm\.FEAT_FP16): 1$/m,
  asimddp: /^hw\.optional\.arm\.FEAT_DotProd: 1$/m,
  i8mm: /^hw\.optional\.arm\.FEAT_I8MM: 1$/m,
};

/** Reads the output of `sysctl hw.optional machdep.cpu`. */
export const instructionSetsOfSysctl = (text: string): InstructionSet[] =>
  (Object.keys(sysctlNames) as InstructionSet[]).filter((name) => sysctlNames[name]?.test(text));

function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function instructionSets(): InstructionSet[] | undefined {
  if (process.platform === "linux") return quietly(() => instructionSetsOfCpuinfo(readFileSync("/proc/cpuinfo", "utf8")));
  if (process.platform !== "darwin") return undefined;
  // sysctl ends with an error code when one of the two groups is missing, but prints the other
  const stdio: ["ignore", "pipe", "ignore"] = ["ignore", "pipe", "ignore"];
  const group = (name: string) => quietly(() => execFileSync("sysctl", [name], { encoding: "utf8", timeout: 2000, stdio })) ?? "";
  return instructionSetsOfSysctl(`${group("hw.optional")}\n${group("machdep.cpu")}`);
}

let device: Device | undefined;

/** What this machine is, as far as a measurement depends on it. */
export function thisDevice(): Device {
  if (device) return device;
  const processors = cpus();
  const cpu = processors[0]?.model.trim() || "unknown CPU";
  const sets = instructionSets();
  const fastest = sets?.filter((name) => ["avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"].includes(name)) ?? [];
  const named = fastest.map((name) => instructionSetNames[name]);
  device = {
    os: `${type()} ${release()}`,
    arch: arch(),
    cpu,
    cores: processors.length,
    memoryBytes: totalmem(),
    instructionSets: sets ?? null,
    node: process.versions.node,
    summary: [`${cpu}, ${processors.length} cores`, `${type()} ${arch()}`, ...(named.length ? [named.join(" + ")] : [])].join(
      ", ",
    ),
  };
  return device;
}
