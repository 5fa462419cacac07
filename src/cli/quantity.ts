import { EdgewrightError } from "../util/errors.ts";

const sizes: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
};
const times: Readonly<Record<string, number>> = { us: 1e-3, µs: 1e-3, ms: 1, "": 1, s: 1e3, m: 60e3, min: 60e3, h: 3600e3 };

function parse(text: string, units: Readonly<Record<string, number>>, what: string, example: string): number {
  const match = /^\s*([\d.]+(?:e-?\d+)?)\s*([a-zµ]*)\s*$/i.exec(text);
  const factor = units[(match?.[2] ?? "?").toLowerCase()];
  const value = Number(match?.[1]);
  if (factor === undefined || !Number.isFinite(value) || value <= 0)
    throw new EdgewrightError("OPTION_INVALID", `"${text}" is not ${what}.`, { hint: `Write it like ${example}.` });
  return value * factor;
}

/** "4MB" to bytes. */
export const parseSize = (text: string): number => parse(text, sizes, "a size", "4MB, 512kB or 1.5MiB");
/** "20ms" or "10m" to milliseconds; a bare number is milliseconds. */
export const parseDuration = (text: string): number => parse(text, times, "a time", "20ms, 90s or 10m");

/** A number from 0 up. */
export function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0)
    throw new EdgewrightError("OPTION_INVALID", `"${text}" is not a number from 0 up.`);
  return value;
}
