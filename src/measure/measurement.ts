import { z } from "zod";

/** A number as this project reports it: with unit, samples, protocol and circumstances. */
export const measurementSchema = z.object({
  metric: z.string(),
  unit: z.string(),
  value: z.number(),
  samples: z.array(z.number()).optional(),
  /** 95 % unless the protocol says otherwise. */
  interval: z.tuple([z.number(), z.number()]).optional(),
  /** Content digest (sha256) of what was measured. */
  subject: z.string(),
  /** How: warm-up, runs, threads, estimator — enough to do it again. */
  protocol: z.string(),
  device: z.string(),
  versions: z.record(z.string(), z.string()),
  /** ISO 8601. */
  at: z.string(),
});
export type Measurement = z.infer<typeof measurementSchema>;
