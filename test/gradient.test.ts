import { testGradients } from "./suites/gradient.ts";
import { allCases } from "./suites/op.ts";

testGradients(await allCases());
