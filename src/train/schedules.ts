import { z } from "zod";

const warmUp = { warmUpSteps: z.int().nonnegative().default(0).describe("Steps over which the rate rises linearly from zero") };

/** How the learning rate moves over the steps; `learningRate` is the peak. Rates are an input of the step graph: nothing is rebuilt. */
export const scheduleSchema = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("constant"), ...warmUp }),
  z.strictObject({
    name: z.literal("cosine"),
    ...warmUp,
    finalFraction: z.number().min(0).max(1).default(0).describe("Rate at the end, as a share of the peak"),
  }),
  z.strictObject({
    name: z.literal("step"),
    ...warmUp,
    milestones: z
      .array(z.number().min(0).max(1))
      .min(1)
      .default([0.5, 0.75])
      .describe("Where the rate drops, as shares of the run"),
    gamma: z.number().positive().max(1).default(0.1).describe("Factor of each drop"),
  }),
  z.strictObject({ name: z.literal("linear"), ...warmUp, finalFraction: z.number().min(0).max(1).default(0) }),
  z.strictObject({
    name: z.literal("one-cycle"),
    peakAt: z.number().min(0).max(1).default(0.3).describe("Share of the run spent rising"),
    initialFraction: z.number().positive().max(1).default(0.04),
    finalFraction: z.number().min(0).max(1).default(1e-4),
  }),
]);
export type Schedule = z.infer<typeof scheduleSchema>;

const cosine = (from: number, to: number, part: number): number => to + ((from - to) * (1 + Math.cos(Math.PI * part))) / 2;

/** The factor on the peak learning rate at `step` (0-based) of `total`. One-cycle: Smith, "Super-Convergence", 2018. */
export function scheduleFactor(schedule: Schedule, step: number, total: number): number {
  if (schedule.name === "one-cycle") {
    const peak = schedule.peakAt * total;
    if (step < peak) return cosine(schedule.initialFraction, 1, step / Math.max(1, peak));
    return cosine(1, schedule.finalFraction, (step - peak) / Math.max(1, total - peak));
  }
  const { warmUpSteps } = schedule;
  if (step < warmUpSteps) return (step + 1) / warmUpSteps;
  const part = Math.min(1, (step - warmUpSteps) / Math.max(1, total - warmUpSteps));
  switch (schedule.name) {
    case "constant":
      return 1;
    case "cosine":
      return cosine(1, schedule.finalFraction, part);
    case "linear":
      return 1 + (schedule.finalFraction - 1) * part;
    case "step":
      return schedule.gamma ** schedule.milestones.filter((milestone) => step / total >= milestone).length;
  }
}
