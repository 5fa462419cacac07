import { dataTypeCode, float32Tensor, stringTensor, tensorOf } from "../../src/ir/index.ts";
import { constant, fed, int64s, opCases, random, scalar } from "./define.ts";

export const constants = [
  opCases("Constant", [
    { name: "a tensor", inputs: [], attributes: { value: float32Tensor([2, 3], [1, 2, 3, 4, 5, 6]) } },
    { name: "a float", inputs: [], attributes: { value_float: 0.5 } },
    { name: "an integer", inputs: [], attributes: { value_int: 7 } },
    { name: "integers", inputs: [], attributes: { value_ints: [1, 2, 3] } },
    { name: "a string tensor", inputs: [], attributes: { value: stringTensor([2], ["a", "b"]) } },
  ]),
  opCases("ConstantOfShape", [
    { name: "zeros", inputs: [int64s(2, 3)] },
    { name: "ones of integers", inputs: [int64s(4)], attributes: { value: tensorOf("int64", [1], [1]) } },
    { name: "a scalar", inputs: [int64s()] },
    { name: "computed shape", inputs: [fed("int64", [2], [2, 5])], dataDependent: "the shape is computed at run time" },
  ]),
  opCases("Range", [
    { name: "upwards", inputs: [scalar("int64", 2), scalar("int64", 11), scalar("int64", 3)] },
    { name: "downwards", inputs: [scalar("int32", 5), scalar("int32", -1), scalar("int32", -2)] },
    { name: "floats", inputs: [scalar("float32", 0), scalar("float32", 1), scalar("float32", 0.3)] },
    { name: "empty", inputs: [scalar("int64", 5), scalar("int64", 2), scalar("int64", 1)] },
    {
      name: "computed limit",
      inputs: [scalar("int64", 0), fed("int64", [], [6]), scalar("int64", 1)],
      dataDependent: "the limit is computed at run time",
    },
  ]),
  opCases("Identity", [
    { name: "of a tensor", inputs: [random([2, 3])] },
    { name: "of a constant", inputs: [constant("int64", [2], [3, 4])] },
  ]),
  opCases("EyeLike", [
    { name: "same type", inputs: [random([3, 4])] },
    { name: "another type, shifted", inputs: [random([3, 3])], attributes: { dtype: dataTypeCode("int64"), k: 1 } },
  ]),
];
