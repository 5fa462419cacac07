import { Graph, int64Tensor, scalarTensor, type TensorType } from "../../src/ir/index.ts";
import { constant, fed, opCases, random, scalar } from "./define.ts";

const float = (shape: TensorType["shape"]): TensorType => ({ dtype: "float32", shape });

/** A branch of If: a constant of the given shape, made without inputs. */
function branch(name: string, ...shape: readonly number[]): Graph {
  const graph = new Graph(name);
  const extents = graph.addInitializer(`${name}_shape`, int64Tensor(shape));
  graph.addOutput(graph.node("ConstantOfShape", [extents], { outputs: [`${name}_out`] }).output);
  return graph;
}

/** x → x + 1 for every pass, and x itself stacked; goes on while the condition that came in is true. */
function countingBody(): Graph {
  const graph = new Graph("body");
  graph.addInput("iteration", { dtype: "int64", shape: [] });
  const condition = graph.addInput("condition_in", { dtype: "bool", shape: [] });
  const x = graph.addInput("state_in", float(undefined));
  const one = graph.addInitializer("one", scalarTensor("float32", 1));
  graph.addOutput(graph.node("Identity", [condition], { outputs: ["condition_out"] }).output);
  graph.addOutput(graph.node("Add", [x, one], { outputs: ["state_out"] }).output);
  graph.addOutput(graph.node("Identity", [x], { outputs: ["stacked"] }).output);
  return graph;
}

/** Appends a row in every pass, so that the carried extent grows. */
function growingBody(): Graph {
  const graph = new Graph("growing");
  graph.addInput("grow_iteration", { dtype: "int64", shape: [] });
  const condition = graph.addInput("grow_condition", { dtype: "bool", shape: [] });
  const x = graph.addInput("grow_in", float(undefined));
  graph.addOutput(graph.node("Identity", [condition], { outputs: ["grow_on"] }).output);
  graph.addOutput(graph.node("Concat", [x, x], { outputs: ["grow_out"], attributes: { axis: 0 } }).output);
  return graph;
}

/** Running sum over the scanned axis. */
function sumBody(): Graph {
  const graph = new Graph("sum");
  const state = graph.addInput("sum_in", float(undefined));
  const slice = graph.addInput("slice", float(undefined));
  const sum = graph.node("Add", [state, slice], { outputs: ["sum_out"] }).output;
  graph.addOutput(sum);
  graph.addOutput(graph.node("Identity", [sum], { outputs: ["sums"] }).output);
  return graph;
}

/** Bodies are made anew for every model: shape inference writes types into them. */
const passes = "how often the body runs depends on values";

export const controlFlow = [
  opCases("If", [
    {
      name: "equal branches",
      inputs: [fed("bool", [], [1])],
      get attributes() {
        return { then_branch: branch("a", 2, 3), else_branch: branch("b", 2, 3) };
      },
    },
    {
      name: "different extents",
      inputs: [fed("bool", [], [0])],
      get attributes() {
        return { then_branch: branch("c", 2, 3), else_branch: branch("d", 2, 5) };
      },
      dataDependent: "the branches differ in an extent",
    },
    {
      name: "constant condition",
      inputs: [constant("bool", [], [1])],
      get attributes() {
        return { then_branch: branch("e", 4), else_branch: branch("f", 2, 2) };
      },
    },
  ]),
  opCases("Loop", [
    {
      name: "state and stacked output",
      inputs: [scalar("int64", 3), constant("bool", [], [1]), random([2, 4])],
      get attributes() {
        return { body: countingBody() };
      },
      outputs: 2,
      dataDependent: passes,
    },
    {
      name: "a state that grows",
      inputs: [scalar("int64", 2), undefined, random([2, 4])],
      get attributes() {
        return { body: growingBody() };
      },
      dataDependent: passes,
    },
  ]),
  opCases("Scan", [
    {
      name: "running sum",
      inputs: [random([3]), random([5, 3])],
      get attributes() {
        return { body: sumBody(), num_scan_inputs: 1 };
      },
      outputs: 2,
    },
    {
      name: "other axes",
      inputs: [random([3]), random([3, 5])],
      get attributes() {
        return { body: sumBody(), num_scan_inputs: 1, scan_input_axes: [1], scan_output_axes: [-1] };
      },
      outputs: 2,
    },
  ]),
];
