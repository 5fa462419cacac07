import { opCases, random } from "./define.ts";

const x = random([2, 3, 4, 5]);

export const shapeQueries = [
  opCases("Shape", [
    { name: "all", inputs: [x] },
    { name: "from the end", inputs: [x], attributes: { start: -2 } },
    { name: "a part", inputs: [x], attributes: { start: 1, end: 3 } },
    { name: "out of bounds", inputs: [x], attributes: { start: -9, end: 9 } },
  ]),
  opCases("Size", [{ name: "all", inputs: [x] }]),
];
