import { stringTensor } from "../../src/ir/index.ts";
import { type CaseInput, constant, fed, opCases, random, scalar } from "./define.ts";

const counted = "how many there are depends on values";
const strings = (shape: readonly number[], ...values: readonly string[]): CaseInput => ({
  dtype: "string",
  shape,
  constant: false,
  make: () => stringTensor(shape, values),
});

export const dataDependentOps = [
  opCases("NonZero", [{ name: "of a matrix", inputs: [fed("float32", [2, 3], [0, 1, 2, 0, 0, 3])], dataDependent: counted }]),
  opCases("NonMaxSuppression", [
    {
      name: "two classes",
      inputs: [
        random([1, 6, 4], { low: 0, high: 1 }),
        random([1, 2, 6], { low: 0, high: 1 }),
        constant("int64", [1], [3]),
        scalar("float32", 0.5),
        scalar("float32", 0.1),
      ],
      dataDependent: counted,
    },
  ]),
  opCases("Unique", [
    { name: "of all elements", inputs: [random([3, 4], { dtype: "int64" })], outputs: 4, dataDependent: counted },
    { name: "rows", inputs: [random([3, 4])], attributes: { axis: 0 }, outputs: [true, false, true], dataDependent: counted },
  ]),
  opCases("StringNormalizer", [
    { name: "lower case", inputs: [strings([3], "Ab", "CD", "e")], attributes: { case_change_action: "LOWER", locale: "C" } },
    {
      name: "stop words",
      inputs: [strings([3], "a", "b", "a")],
      attributes: { stopwords: ["a"], locale: "C", is_case_sensitive: 1 },
      dataDependent: counted,
    },
  ]),
  opCases("RegexFullMatch", [
    { name: "words", inputs: [strings([2, 2], "a", "1", "bb", "c3")], attributes: { pattern: "[a-z]+" } },
  ]),
];
