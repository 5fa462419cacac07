import { expect, test } from "vitest";
import { parseDuration, parseNumber, parseSize } from "./quantity.ts";

test.each([
  ["4MB", 4e6],
  ["512kB", 512e3],
  ["1.5MiB", 1.5 * 1024 ** 2],
  ["100", 100],
])("size %s", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each([
  ["20ms", 20],
  ["1.5s", 1500],
  ["10m", 600_000],
  ["250us", 0.25],
  ["7", 7],
])("time %s", (text, ms) => {
  expect(parseDuration(text)).toBeCloseTo(ms, 9);
});

test.each(["", "fast", "-3MB", "4 parsecs", "0"])("%j is no size and no time", (text) => {
  expect(() => parseSize(text)).toThrow(/is not a size/);
  expect(() => parseDuration(text)).toThrow(/is not a time/);
});

test("numbers from 0 up", () => {
  expect(parseNumber("0.5")).toBe(0.5);
  expect(() => parseNumber("-1")).toThrow(/not a number/);
  expect(() => parseNumber("")).toThrow();
});
