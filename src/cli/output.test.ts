import { stripVTControlCharacters } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { formatBytes, formatCount, formatMs, printJson, table, withProgress } from "./output.ts";

afterEach(() => vi.restoreAllMocks());

const captured = (stream: NodeJS.WriteStream): string[] => {
  const texts: string[] = [];
  vi.spyOn(stream, "write").mockImplementation((text) => {
    texts.push(String(text));
    return true;
  });
  return texts;
};

describe("formats", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [999_600, "1.00 MB"],
    [13_600_000, "13.6 MB"],
    [2_500_000_000, "2.50 GB"],
  ])("%d bytes", (n, text) => expect(formatBytes(n)).toBe(text));

  it.each([
    [12, "12"],
    [1200, "1.20 k"],
    [3_540_000, "3.54 M"],
    [300_000_000, "300 M"],
  ])("count %d", (n, text) => expect(formatCount(n)).toBe(text));

  it.each([
    [0, "0 ms"],
    [0.84, "840 µs"],
    [18.23, "18.2 ms"],
    [999.7, "1.00 s"],
    [1500, "1.50 s"],
    [125_000, "2 min 05 s"],
  ])("%d ms", (n, text) => expect(formatMs(n)).toBe(text));
});

describe("table", () => {
  it("aligns numbers to the right and words to the left", () => {
    const plain = stripVTControlCharacters(
      table([
        ["layer", "ms"],
        ["conv1", "12.5"],
        ["a", "3"],
      ]),
    );
    expect(plain.split("\n")).toEqual(["layer    ms", "conv1  12.5", "a         3"]);
  });

  it("cuts what is too wide", () => {
    expect(table([["abcdefghij"]], { header: false, maxWidth: 5 })).toBe("abcd…");
  });
});

describe("printJson", () => {
  const schema = z.object({ ok: z.boolean() });

  it("prints one document", () => {
    const texts = captured(process.stdout);
    printJson(schema, { ok: true });
    expect(JSON.parse(texts.join(""))).toEqual({ ok: true });
  });

  it("refuses what the schema does not promise, and prints nothing", () => {
    const texts = captured(process.stdout);
    expect(() => printJson(schema, { ok: "yes" })).toThrow(z.ZodError);
    expect(texts).toEqual([]);
  });
});

describe("withProgress", () => {
  it("gives the work's result and a signal, and keeps stdout clean", async () => {
    const out = captured(process.stdout);
    captured(process.stderr);
    const result = await withProgress("count", async ({ signal, onProgress }) => {
      onProgress({ step: "one", done: 1, total: 2 });
      return signal.aborted;
    });
    expect(result).toBe(false);
    expect(out).toEqual([]);
  });

  it("says how long is left once it can tell", async () => {
    const err = captured(process.stderr);
    let now = 0;
    vi.spyOn(Date, "now").mockImplementation(() => now);
    await withProgress("calibrate", async ({ onProgress }) => {
      onProgress({ step: "observe", done: 0, total: 100 });
      now = 10_000;
      onProgress({ step: "observe", done: 25, total: 100 });
    });
    expect(err.join("")).toContain("calibrate: observe 25/100 · 30.0 s left");
  });
});
