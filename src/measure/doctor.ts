import { execFile } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { encodeOnnx } from "../formats/index.ts";
import { float32Tensor, Graph, Model, toNumbers } from "../ir/index.ts";
import type { Executor } from "../runtime/executor.ts";
import { executorNames, loadExecutor } from "../runtime/executors.ts";
import { type Device, deviceSchema, type InstructionSet, instructionSetNames, thisDevice } from "./device.ts";
import { energyCounters } from "./energy.ts";

export const checkSchema = z.object({
  group: z.enum(["runtime", "instruction set", "tool"]),
  name: z.string(),
  status: z.enum(["ok", "missing", "broken", "unknown"]),
  /** A version, a path, or what went wrong. */
  detail: z.string(),
  /** What this machine cannot do, or does worse, without it; null when it is there. */
  cost: z.string().nullable(),
});
export type Check = z.infer<typeof checkSchema>;

export const doctorSchema = z.object({ device: deviceSchema, checks: z.array(checkSchema) });
export type DoctorReport = z.infer<typeof doctorSchema>;

export interface DoctorOptions {
  readonly device?: Device | undefined;
  readonly load?: ((name: string) => Promise<Executor>) | undefined;
  /** Path of a program on this machine. */
  readonly find?: ((program: string) => string | undefined) | undefined;
  readonly energy?: { readonly counters: readonly { readonly name: string }[]; readonly locked: number } | undefined;
  readonly loadImages?: (() => Promise<unknown>) | undefined;
}

const firstLine = (error: unknown): string => String(error instanceof Error ? error.message : error).split("\n")[0] ?? "";

/** y = Relu(x): the smallest thing that proves that a runtime loads a file and computes. */
function tinyModel(): Uint8Array {
  const graph = new Graph("doctor");
  const x = graph.addInput("x", { dtype: "float32", shape: [3] });
  const node = graph.node("Relu", [x], { outputs: ["y"] });
  node.output.type = { dtype: "float32", shape: [3] };
  graph.addOutput(node.output);
  return encodeOnnx(new Model({ graph }));
}

const runtimeCosts: Readonly<Record<string, string>> = {
  "ort-node": "optimize, eval, quantize's calibration and native latency need it: little is left without it",
  "ort-web": "no latency for browsers and WebAssembly; native work goes on",
};

async function checkRuntime(name: string, load: (name: string) => Promise<Executor>): Promise<Check> {
  const check = { group: "runtime", name, cost: runtimeCosts[name] ?? "models cannot run there" } as const;
  try {
    const executor = await load(name);
    const session = await executor.load(tinyModel());
    const { y } = await session.run({ x: float32Tensor([3], [-1, 0, 2]) });
    await session.release();
    const values = y ? toNumbers(y) : [];
    if (values.join() !== "0,0,2") return { ...check, status: "broken", detail: `computes Relu(-1, 0, 2) as (${values})` };
    return { ...check, status: "ok", detail: `onnxruntime ${executor.version}, ran a model`, cost: null };
  } catch (error) {
    return { ...check, status: "broken", detail: firstLine(error) };
  }
}

interface Need {
  readonly name: string;
  /** Any of these is enough. */
  readonly any: readonly InstructionSet[];
  readonly cost: string;
}
const needs: Readonly<Record<string, readonly Need[]>> = {
  x64: [
    { name: "AVX2", any: ["avx2"], cost: "FP32 and INT8 kernels fall back to SSE: several times slower" },
    {
      name: "VNNI",
      any: ["avx512_vnni", "avx_vnni"],
      cost: "INT8 gains less over FP32, and 8-bit weights can saturate: quantize for the target row without VNNI",
    },
    { name: "AVX-512", any: ["avx512f"], cost: "half the vector width for FP32" },
    { name: "AMX INT8", any: ["amx_int8"], cost: "no matrix unit for INT8: large matrix products run on vectors" },
  ],
  arm64: [
    {
      name: "NEON dot product",
      any: ["asimddp"],
      cost: "INT8 kernels fall back to widening multiplies: little or no gain over FP32",
    },
    { name: "NEON I8MM", any: ["i8mm"], cost: "no INT8 matrix multiply instructions: INT8 runs on dot products" },
    { name: "NEON FP16", any: ["asimdhp"], cost: "FP16 models are computed in FP32: smaller, not faster" },
  ],
};

function checkInstructionSets(device: Device): Check[] {
  const sets = device.instructionSets;
  return (needs[device.arch] ?? []).map(({ name, any, cost }): Check => {
    const base = { group: "instruction set", name, cost } as const;
    if (sets === null) return { ...base, status: "unknown", detail: `${device.os} does not tell` };
    const found = any.filter((set) => sets.includes(set)).map((set) => instructionSetNames[set]);
    return found.length > 0
      ? { ...base, status: "ok", detail: found.join(", "), cost: null }
      : { ...base, status: "missing", detail: "not offered by this CPU" };
  });
}

/** Path of a program in PATH, or at one of the absolute paths given. */
export function findProgram(program: string): string | undefined {
  const executable = (path: string) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  if (program.startsWith("/")) return executable(program) ? program : undefined;
  const endings = process.platform === "win32" ? [".exe", ".cmd"] : [""];
  for (const folder of (process.env.PATH ?? "").split(delimiter).filter(Boolean))
    for (const ending of endings) if (executable(join(folder, program + ending))) return join(folder, program + ending);
  return undefined;
}

const browsers = [
  "chromium",
  "chromium-browser",
  "google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/** Whether a program starts at all: a name in PATH may be a stub (macOS's python3 before its tools are installed). */
async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await promisify(execFile)(path, ["--version"], { timeout: 10_000 });
    return firstLine((stdout || stderr).trim());
  } catch {
    return undefined;
  }
}

async function checkPrograms(find: (program: string) => string | undefined): Promise<Check[]> {
  const python = find("python3");
  const version = python === undefined ? undefined : await versionOf(python);
  const browser = browsers.map(find).find((path) => path !== undefined);
  const pythonCost = "the scripts in bench/peers and conformance that run other tools beside ours cannot run";
  const browserCost = "tests in a real browser cannot run; WebAssembly still runs in Node";
  return [
    version !== undefined
      ? { group: "tool", name: "python3", status: "ok", detail: version, cost: null }
      : {
          group: "tool",
          name: "python3",
          status: "missing",
          detail: python ? `${python} does not start` : "not in PATH",
          cost: pythonCost,
        },
    browser
      ? { group: "tool", name: "chromium", status: "ok", detail: browser, cost: null }
      : { group: "tool", name: "chromium", status: "missing", detail: "not in PATH", cost: browserCost },
  ];
}

function checkEnergy(energy: NonNullable<DoctorOptions["energy"]>): Check {
  const base = { group: "tool", name: "energy counters (RAPL)" } as const;
  if (energy.counters.length > 0)
    return { ...base, status: "ok", detail: energy.counters.map((c) => c.name).join(", "), cost: null };
  const cost = "energy is an estimate from multiply-accumulates and bytes moved, and says so";
  return energy.locked > 0
    ? { ...base, status: "missing", detail: "present, but only root may read them", cost }
    : { ...base, status: "missing", detail: "not offered by this system", cost };
}

async function checkImages(load: () => Promise<unknown>): Promise<Check> {
  const base = { group: "tool", name: "image decoder (sharp)" } as const;
  try {
    await load();
    return { ...base, status: "ok", detail: "loads", cost: null };
  } catch (error) {
    return { ...base, status: "broken", detail: firstLine(error), cost: "folders of images cannot be read; other data can" };
  }
}

/** A clock that follows the load makes timings wander; ratios of interleaved runs hold. */
function checkGovernor(): Check[] {
  try {
    const governor = readFileSync("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "utf8").trim();
    const steady = governor === "performance";
    const cost = "CPU frequency follows the load: absolute times vary, ratios from interleaved runs hold";
    return [
      {
        group: "tool",
        name: "steady CPU clock",
        status: steady ? "ok" : "missing",
        detail: `governor "${governor}"`,
        cost: steady ? null : cost,
      },
    ];
  } catch {
    return [];
  }
}

/** What this machine has of runtimes, instruction sets and optional tools, and what the absence of each costs. Never throws for what is missing. */
export async function diagnose(options: DoctorOptions = {}): Promise<DoctorReport> {
  const device = options.device ?? thisDevice();
  const runtimes: Check[] = [];
  for (const name of executorNames) runtimes.push(await checkRuntime(name, options.load ?? loadExecutor));
  return {
    device,
    checks: [
      ...runtimes,
      ...checkInstructionSets(device),
      await checkImages(options.loadImages ?? (() => import("../data/image.ts"))),
      ...(await checkPrograms(options.find ?? findProgram)),
      checkEnergy(options.energy ?? energyCounters()),
      ...checkGovernor(),
    ],
  };
}
