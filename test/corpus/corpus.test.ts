import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Corpus, entryBytes, outcomeOf } from "./corpus.ts";

const corpus = JSON.parse(await readFile(new URL("models.json", import.meta.url), "utf8")) as Corpus;

/** No file of a few kilobytes may take longer, whatever it says about itself; a busy machine is granted nearly all of it. */
const limitMs = 1000;

describe("broken files", () => {
  test("the corpus is all there, and its small model loads", async () => {
    expect(corpus.entries.length).toBeGreaterThan(120);
    expect((await outcomeOf(Buffer.from(corpus.small, "base64"))).code).toBe("loads");
  });

  test.each(corpus.entries)("$name: $expect", async (entry) => {
    const outcome = await outcomeOf(entryBytes(corpus, entry));
    expect(outcome.code, outcome.message).toBe(entry.expect);
    expect(outcome.milliseconds).toBeLessThan(limitMs);
    // one sentence a reader can act on
    if (outcome.code !== "loads") expect(outcome.message).toMatch(/^[^\n]{15,400}$/);
  });
});

interface Mutation {
  readonly at: number;
  readonly kind: "flip" | "set" | "delete" | "insert" | "repeat";
  readonly value: number;
  readonly length: number;
}
const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  kind: fc.constantFrom("flip", "set", "delete", "insert", "repeat"),
  value: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 0x7f, 0x80, 0xff)),
  length: fc.integer({ min: 1, max: 40 }),
});

function mutate(source: Uint8Array, mutations: readonly Mutation[]): Uint8Array {
  let bytes = [...source];
  for (const { at, kind, value, length } of mutations) {
    const index = Math.floor(at * bytes.length);
    const part = bytes.slice(index, index + length);
    if (kind === "flip") bytes[index] = (bytes[index] ?? 0) ^ (1 << (value % 8));
    else if (kind === "set") bytes[index] = value;
    else if (kind === "delete") bytes.splice(index, length);
    else if (kind === "insert") bytes.splice(index, 0, ...Array<number>(length).fill(value));
    else bytes = [...bytes.slice(0, index), ...part, ...part, ...bytes.slice(index)];
  }
  return Uint8Array.from(bytes);
}

describe("fuzz", () => {
  test("a damaged file loads as a legal model or gives one clear error, quickly and in little memory", {
    timeout: 60_000,
  }, async () => {
    const small = Buffer.from(corpus.small, "base64");
    const before = process.memoryUsage().arrayBuffers;
    await fc.assert(
      // any error that is not an EdgewrightError comes out of outcomeOf and fails the property
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 6 }), async (mutations) => {
        const outcome = await outcomeOf(mutate(small, mutations));
        expect(outcome.milliseconds).toBeLessThan(limitMs);
      }),
      { numRuns: 1500, seed: 20, interruptAfterTimeLimit: 12_000 },
    );
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(256e6);
  });
});
