import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Session } from "../runtime/executor.ts";
import { EdgewrightError } from "../util/errors.ts";
import type { RunOptions } from "../util/progress.ts";
import { type Feeds, measurementFrame, type SubjectFacts } from "./latency.ts";
import { type Measurement, measurementSchema } from "./measurement.ts";

/** A CPU package's energy counter (Intel and AMD RAPL through Linux powercap). */
export interface EnergyCounter {
  readonly name: string;
  /** Microjoules now; wraps at `range`. */
  read(): number;
  readonly range: number;
}

export const powercapFolder = "/sys/class/powercap";

const numberIn = (path: string): number => Number(readFileSync(path, "utf8").trim());

/**
 * The package counters that this user may read. Parts of a package (cores, DRAM) are left out: their energy is in the package's, or,
 * for DRAM, not offered everywhere. `locked` counts counters that exist but may not be read (Linux gives them to root only).
 */
export function energyCounters(folder = powercapFolder): {
  readonly counters: readonly EnergyCounter[];
  readonly locked: number;
} {
  let zones: string[];
  try {
    // top-level zones are "intel-rapl:0", parts "intel-rapl:0:1"; AMD's driver uses Intel's name
    zones = readdirSync(folder).filter((zone) => /^[\w-]*rapl:\d+$/.test(zone));
  } catch {
    return { counters: [], locked: 0 };
  }
  const counters: EnergyCounter[] = [];
  let locked = 0;
  for (const zone of zones.sort()) {
    const at = (file: string) => join(folder, zone, file);
    try {
      const name = readFileSync(at("name"), "utf8").trim();
      if (!name.startsWith("package")) continue;
      const read = () => numberIn(at("energy_uj"));
      if (!Number.isFinite(read())) continue;
      counters.push({ name, read, range: numberIn(at("max_energy_range_uj")) });
    } catch {
      locked++;
    }
  }
  return { counters, locked };
}

/** Microjoules between two readings of a counter that may have wrapped once. */
export const energyBetween = (before: number, after: number, range: number): number =>
  after >= before ? after - before : after + range - before;

export interface EnergyOptions extends RunOptions, SubjectFacts {
  readonly name?: string | undefined;
  /** Length of the loaded and of the idle part; default 2000. */
  readonly timeMs?: number | undefined;
  readonly counters?: readonly EnergyCounter[] | undefined;
  readonly clock?: (() => number) | undefined;
  readonly idle?: ((ms: number) => Promise<unknown>) | undefined;
  readonly device?: string | undefined;
}

/**
 * Energy per inference from the CPU package's counters: an idle stretch, then runs back to back. The value is what the package drew
 * above idle for each run; whatever else runs on the machine counts in.
 */
export async function measureEnergy(session: Session, feeds: Feeds, options: EnergyOptions = {}): Promise<Measurement> {
  const counters = options.counters ?? energyCounters().counters;
  if (counters.length === 0)
    throw new EdgewrightError("ENERGY_NO_COUNTER", "This machine offers no energy counter that this user may read.", {
      hint: "Linux gives /sys/class/powercap to root; without it Edgewright estimates.",
    });
  const clock = options.clock ?? (() => performance.now());
  const idle = options.idle ?? ((ms: number) => new Promise((resolve) => setTimeout(resolve, ms)));
  const length = options.timeMs ?? 2000;
  const stretch = async (work: () => Promise<unknown>) => {
    const before = counters.map((counter) => counter.read());
    const start = clock();
    await work();
    const ms = clock() - start;
    const joules = counters.reduce((sum, { read, range }, i) => sum + energyBetween(before[i] as number, read(), range), 0) / 1e6;
    return { ms, joules };
  };
  for (let i = 0; i < 3; i++) await session.run(feeds);
  const rest = await stretch(() => idle(length));
  let runs = 0;
  const loaded = await stretch(async () => {
    const start = clock();
    do {
      options.signal?.throwIfAborted();
      await session.run(feeds);
      runs++;
    } while (clock() - start < length);
  });
  const idleWatts = rest.joules / (rest.ms / 1000);
  const net = Math.max(0, loaded.joules - idleWatts * (loaded.ms / 1000));
  const threads = options.threads ?? 1;
  return {
    metric: "energy per inference",
    unit: "mJ",
    value: (net * 1000) / runs,
    ...measurementFrame(options.name ?? "model", options, options),
    protocol: `RAPL package counters (${counters.map((c) => c.name).join(", ")}), ${runs} runs in ${Math.round(loaded.ms)} ms, ${threads} thread${threads === 1 ? "" : "s"}; idle draw of ${idleWatts.toFixed(1)} W before it subtracted`,
  };
}

/**
 * Picojoules of one operation in a 45 nm process at 0.9 V: M. Horowitz, "Computing's energy problem (and what we can do about it)",
 * ISSCC 2014, figure 1.1.9. A multiply-accumulate is one multiplication plus one addition; 8-bit products are added in 32 bits.
 * Memory: 64 bits cost 10 pJ from an 8 KB cache, 100 pJ from a 1 MB cache, at least 1280 pJ from DRAM.
 */
export const picojoules = {
  mac: { int8: 0.2 + 0.1, float16: 1.1 + 0.4, float32: 3.7 + 0.9 },
  byte: { smallCache: 10 / 8, largeCache: 100 / 8, dram: 1280 / 8 },
} as const;
export type MacPrecision = keyof typeof picojoules.mac;

/** What one inference does, as far as the estimate looks. */
export interface Work {
  readonly macs: Readonly<Record<MacPrecision, number>>;
  /** Bytes of weights, each read once. */
  readonly weightBytes: number;
  /** Bytes of activations, read and written. */
  readonly activationBytes: number;
}

/**
 * Millijoules of one inference by the table above: weights come from DRAM once, activations move through a large cache. The bounds are
 * all traffic through a small cache, and all traffic through DRAM; they are bounds of the model, not a statistical interval.
 */
export function estimateMillijoules(work: Work): { value: number; interval: [number, number] } {
  const arithmetic = (Object.keys(work.macs) as MacPrecision[]).reduce(
    (sum, precision) => sum + work.macs[precision] * picojoules.mac[precision],
    0,
  );
  const { smallCache, largeCache, dram } = picojoules.byte;
  const total = (weightCost: number, activationCost: number) =>
    (arithmetic + work.weightBytes * weightCost + work.activationBytes * activationCost) * 1e-9;
  return { value: total(dram, largeCache), interval: [total(smallCache, smallCache), total(dram, dram)] };
}

/** The same as a measurement that says what it is: an estimate for comparing models, not a reading of any device. */
export function estimateEnergy(name: string, work: Work, options: SubjectFacts & { readonly device?: string } = {}): Measurement {
  return {
    metric: "energy per inference (estimate)",
    unit: "mJ",
    ...estimateMillijoules(work),
    ...measurementFrame(name, options, { device: options.device ?? "none: model of a 45 nm chip" }),
    protocol:
      "estimate, not measured: multiply-accumulates and bytes moved times the picojoules of Horowitz, ISSCC 2014 (45 nm); weights once from DRAM, activations through a 1 MB cache; the interval is bounds: all traffic from an 8 KB cache, and all from DRAM",
  };
}

export const energySchema = z.object({ kind: z.enum(["measured", "estimate"]), perInference: measurementSchema });
export type Energy = z.infer<typeof energySchema>;
