import { describe, expect, it } from "vitest";
import { allOps } from "../src/ops/index.ts";
import { allCases, testOps } from "./suites/op.ts";

const all = await allCases();

describe("op records", () => {
  it("have cases, each of them", () => {
    const covered = new Set(all.flatMap(({ domain, type, cases }) => (cases.length > 0 ? [`${domain}:${type}`] : [])));
    const missing = allOps().filter(({ domain, type }) => !covered.has(`${domain}:${type}`));
    expect(missing.map(({ domain, type }) => (domain ? `${domain}.${type}` : type))).toEqual([]);
  });
  it("have cases in one place", () => {
    const names = all.map(({ domain, type }) => `${domain}:${type}`);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });
});

testOps(all);
