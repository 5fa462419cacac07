import { dataTypeCode } from "../../src/ir/index.ts";
import { opCases, random, scalar } from "./define.ts";

export const casts = [
  opCases("Cast", [
    { name: "float to int64", inputs: [random([2, 3], { high: 9 })], attributes: { to: dataTypeCode("int64") } },
    { name: "int64 to float", inputs: [random([4], { dtype: "int64" })], attributes: { to: dataTypeCode("float32") } },
    { name: "to bool", inputs: [random([4], { dtype: "int32" })], attributes: { to: dataTypeCode("bool") } },
    { name: "to float16", inputs: [random([2, 2])], attributes: { to: dataTypeCode("float16") } },
  ]),
  opCases("CastLike", [{ name: "to the type of a scalar", inputs: [random([2, 3]), scalar("int32", 0)] }]),
];
