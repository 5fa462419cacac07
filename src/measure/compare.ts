import { EdgewrightError } from "../util/errors.ts";
import type { Measurement } from "./measurement.ts";
import { pairedRatio, type Verdict } from "./ratio.ts";

export interface MeasurementComparison {
  /** a.value / b.value. */
  readonly ratio: number;
  readonly difference: number;
  /** Given when both sides have paired samples (same number, taken in turn). */
  readonly interval?: readonly [number, number];
  readonly verdict?: Verdict;
}

/** The part of a protocol that decides what was measured; counts of warm-up runs and rounds follow the machine's speed and may differ. */
const kind = (protocol: string): string => protocol.replace(/\d+/g, "#");

function differences(a: Measurement, b: Measurement): string[] {
  const fields = [
    ["metric", a.metric, b.metric],
    ["unit", a.unit, b.unit],
    ["device", a.device, b.device],
  ] as const;
  const found = fields.filter(([, x, y]) => x !== y).map(([name, x, y]) => `${name} "${x}" and "${y}"`);
  if (threadsOf(a.protocol) !== threadsOf(b.protocol))
    found.push(`threads ${threadsOf(a.protocol)} and ${threadsOf(b.protocol)}`);
  else if (kind(a.protocol) !== kind(b.protocol)) found.push(`protocol "${a.protocol}" and "${b.protocol}"`);
  return found;
}

const threadsOf = (protocol: string): string => /(\d+) threads?\b/.exec(protocol)?.[1] ?? "unstated";

/**
 * Compares two measurements of the same thing: metric, unit, device and protocol must agree, else the numbers do not compare and an
 * error says what differs. `pairs` tells that sample i of both was taken in the same round.
 */
export function compareMeasurements(a: Measurement, b: Measurement, options: { pairs?: boolean } = {}): MeasurementComparison {
  const unlike = differences(a, b);
  if (unlike.length > 0)
    throw new EdgewrightError("MEASUREMENT_UNLIKE", `These two measurements do not compare: ${unlike.join("; ")}.`, {
      hint: "Measure both sides again in one run of `edgewright bench A B`.",
    });
  const plain = { ratio: a.value / b.value, difference: a.value - b.value };
  const [x, y] = [a.samples, b.samples];
  if (!options.pairs || !x || !y || x.length !== y.length || x.length < 3) return plain;
  const { ratio, interval, verdict } = pairedRatio(x, y);
  return { ...plain, ratio, interval, verdict };
}
