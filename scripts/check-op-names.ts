// Shared code asks op records for facets; it never compares an op's name.
import { type Findings, isTest, readFiles, withoutComments } from "./source-files.ts";

/** Where names are the subject: op records, rewrite patterns, upgrade rules, what a target's kernels are called. */
const allowed = /^src\/(ops|targets|passes\/simplify|passes\/upgrade-opset)\//;

const comparisons = [
  /\bopType\s*[!=]==?\s*["'`]/,
  /["'`]\s*[!=]==?\s*[\w.?]*\.opType\b/,
  /\.(?:includes|has)\([^()]*\bopType\b/,
  /switch\s*\([^()]*\bopType\b/,
  /\bop(?:Type)?\s*===\s*["'`][A-Z]/,
];

export const comparesOpName = (line: string): boolean => comparisons.some((pattern) => pattern.test(line));

export async function checkOpNames(): Promise<Findings> {
  const problems: string[] = [];
  for (const { path, text } of await readFiles("src", /\.ts$/)) {
    if (allowed.test(path) || isTest(path)) continue;
    withoutComments(text)
      .split("\n")
      .forEach((line, i) => {
        if (comparesOpName(line)) problems.push(`${path}:${i + 1} compares an op's name; ask a facet of its record (lookupOp)`);
      });
  }
  return { problems };
}
