import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { arrowProblem, cycles, type LayerTable } from "../scripts/check-layers.ts";
import { comparesOpName } from "../scripts/check-op-names.ts";
import { importsOf, withoutComments } from "../scripts/source-files.ts";

const table = JSON.parse(readFileSync(new URL("../scripts/layers.json", import.meta.url), "utf8")) as LayerTable;

describe("reading imports", () => {
  it("tells values from types, and finds re-exports and dynamic imports", () => {
    const found = importsOf(`
import { a, type B } from "./value.ts";
import { type C, type D } from "./types.ts";
import type { E } from "./type.ts";
import "./effect.ts";
import * as everything from "everything";
import {
  long,
  list,
} from "./long.ts";
export * from "./again.ts";
export type { F } from "./again-type.ts";
const later = () => import("./later.ts");
type G = import("./shape.ts").Shape;
// import { x } from "./comment.ts";
/* import "./block.ts"; */
`);
    const summary = found.map(({ specifier, typeOnly, dynamic }) => [specifier, typeOnly, dynamic]);
    expect(summary).toEqual([
      ["./value.ts", false, false],
      ["./types.ts", true, false],
      ["./type.ts", true, false],
      ["./effect.ts", false, false],
      ["everything", false, false],
      ["./long.ts", false, false],
      ["./again.ts", false, false],
      ["./again-type.ts", true, false],
      ["./later.ts", false, true],
      ["./shape.ts", true, true],
    ]);
    expect(found[0]?.line).toBe(2);
  });

  it("leaves strings alone when it blanks comments", () => {
    expect(withoutComments('const url = "http://x"; // gone')).toBe('const url = "http://x";        ');
  });
});

describe("the layer table", () => {
  const problem = (from: string, to: string, typeOnly = false) => arrowProblem(table, `src/${from}`, `src/${to}`, typeOnly);

  it("lets arrows point down only, types included", () => {
    expect(problem("ops/conv.ts", "ir/node.ts")).toBeUndefined();
    expect(problem("ir/node.ts", "ops/conv.ts")).toContain("may not import");
    expect(problem("ir/node.ts", "ops/conv.ts", true)).toContain("may not import");
  });

  it("keeps neighbours apart", () => {
    expect(problem("passes/define.ts", "runtime/executor.ts")).toContain("may not import");
    expect(problem("formats/onnx/read.ts", "ops/registry.ts")).toContain("may not import");
    expect(problem("measure/doctor.ts", "targets/registry.ts")).toContain("may not import");
  });

  it("knows its exceptions", () => {
    expect(problem("recipes/run.ts", "jobs/queue.ts")).toBeUndefined();
    expect(problem("fleet/rollout.ts", "recipes/recipe.ts", true)).toBeUndefined();
    expect(problem("fleet/rollout.ts", "recipes/recipe.ts")).toContain("may not import");
    expect(problem("client/run.ts", "runtime/ort-web.ts")).toBeUndefined();
    expect(problem("client/run.ts", "runtime/ort-node.ts")).toContain("may import only");
  });

  it("wants every folder listed", () => {
    expect(problem("stray/file.ts", "ir/node.ts")).toContain("not in scripts/layers.json");
  });
});

describe("cycles", () => {
  it("finds each ring once, and none where there is none", () => {
    const edges = new Map([
      ["a", ["b"]],
      ["b", ["c"]],
      ["c", ["a", "d"]],
      ["d", []],
    ]);
    expect(cycles(edges).map((ring) => ring.sort())).toEqual([["a", "b", "c"]]);
    edges.set("c", ["d"]);
    expect(cycles(edges)).toEqual([]);
  });
});

describe("op names", () => {
  it.each([
    'if (node.opType === "Conv") {',
    'if ("Conv" !== node.opType) {',
    'if (["Conv", "Gemm"].includes(node.opType)) {',
    "switch (node.opType) {",
  ])("%s is refused", (line) => expect(comparesOpName(line)).toBe(true));

  it.each(['graph.node("Conv", [x])', "counts[node.opType] = 1;", "row.ops[node.opType]"])("%s is fine", (line) =>
    expect(comparesOpName(line)).toBe(false),
  );
});
