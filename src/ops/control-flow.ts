import { type Dim, type Graph, type Shape, sameDim } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { type Call, defineOp, type TensorInfo } from "./define.ts";
import { views } from "./element-layout.ts";
import { axisIndex, elementsOf, integersOf } from "./type-rules.ts";

type Info = TensorInfo | undefined;

/** A type that covers both: extents that differ become "?", another rank leaves the shape open, another dtype everything. */
function cover(a: Info, b: Info): Info {
  if (!a || !b || a.dtype !== b.dtype) return undefined;
  return { dtype: a.dtype, shape: coverShape(a.shape, b.shape) };
}

function coverShape(a: Shape | undefined, b: Shape | undefined): Shape | undefined {
  if (!a || !b || a.length !== b.length) return undefined;
  return a.map((dim, i) => (sameDim(dim, b[i] as Dim) ? dim : "?"));
}

const equalInfo = (a: Info, b: Info): boolean =>
  a === b || (!!a && !!b && a.dtype === b.dtype && String(a.shape) === String(b.shape) && !a.shape === !b.shape);

/** The type alone: contents change from one pass through a loop to the next. */
const typeOnly = (info: Info): Info => info && { dtype: info.dtype, shape: info.shape };

/** Which branch runs depends on a value, so the outputs are what both branches have in common, unless the condition is constant. */
export const ifOp = defineOp({
  type: "If",
  since: 1,
  inputs: ["cond"],
  outputs: ["...outputs"],
  attributes: { then_branch: attr.required.graph(), else_branch: attr.required.graph() },
  infer({ cond }, { attributes, inferGraph, outputCount, reject }) {
    const branches = [inferGraph(attributes.then_branch, []), inferGraph(attributes.else_branch, [])] as const;
    for (const [i, name] of ["then_branch", "else_branch"].entries())
      if (branches[i]?.length !== outputCount) reject(`${name} gives ${branches[i]?.length} outputs instead of ${outputCount}`);
    const taken = integersOf(cond)?.[0];
    if (taken !== undefined) return { outputs: branches[taken !== 0 ? 0 : 1] };
    return { outputs: branches[0].map((info, i) => cover(info, branches[1][i])) };
  },
  bodyTies: ({ outputs }) => Array.from({ length: outputs }, (_, i) => ({ bodyOutput: i, output: i })),
  cost: views,
  channels: "barrier",
});

/** Infers a loop body until the types that it carries from pass to pass no longer change; each pass can only make them wider. */
function settleCarried(
  initial: readonly Info[],
  infer: (carried: readonly Info[]) => readonly Info[],
): { readonly carried: readonly Info[]; readonly outputs: readonly Info[] } {
  let carried = initial.map(typeOnly);
  for (;;) {
    const outputs = infer(carried);
    const wider = carried.map((info, i) => cover(info, outputs[i]));
    if (wider.every((info, i) => equalInfo(info, carried[i]))) return { carried: wider, outputs };
    carried = wider;
  }
}

/** A loop runs exactly M times when nothing else can end it. */
function tripCount(M: Info, cond: Info, bodyCondition: Info): Dim {
  const goesOn = !cond || integersOf(cond)?.[0] === 1;
  const never = integersOf(bodyCondition)?.[0] === 1;
  return (goesOn && never && elementsOf(M)?.[0]) || "?";
}

const withAxis = (info: Info, axis: number, extent: Dim): Info =>
  info && { dtype: info.dtype, shape: info.shape && [...info.shape.slice(0, axis), extent, ...info.shape.slice(axis)] };

function bodyOf(graph: Graph, inputs: number, outputs: number, { reject }: Pick<Call, "reject">): void {
  if (graph.inputs.length !== inputs) reject(`its body takes ${graph.inputs.length} inputs instead of ${inputs}`);
  if (graph.outputs.length < outputs) reject(`its body gives ${graph.outputs.length} outputs instead of ${outputs}`);
}

/** Body: (iteration, condition, carried…) → (condition, carried…, scan outputs…); scan outputs are stacked along a new first axis. */
export const loop = defineOp({
  type: "Loop",
  since: 1,
  inputs: ["M?", "cond?", "...v_initial"],
  outputs: ["...v_final_and_scan_outputs"],
  attributes: { body: attr.required.graph() },
  infer({ M, cond, v_initial: initial }, call) {
    const { body } = call.attributes;
    bodyOf(body, initial.length + 2, initial.length + 1, call);
    const iteration: TensorInfo = { dtype: "int64", shape: [] };
    let bodyCondition: Info;
    const { carried, outputs } = settleCarried(initial, (state) => {
      const [condition, ...rest] = call.inferGraph(body, [iteration, { dtype: "bool", shape: [] }, ...state]);
      bodyCondition = condition;
      return rest;
    });
    const trips = tripCount(M, cond, bodyCondition);
    const stacked = outputs.slice(initial.length).map((info) => withAxis(info, 0, trips));
    return { v_final_and_scan_outputs: [...carried, ...stacked] };
  },
  // inputs: count, condition, carried; body: iteration, condition, carried → condition, carried, scan outputs
  bodyTies: ({ inputs, outputs }) =>
    Array.from({ length: outputs }, (_, i) => ({
      ...(i < inputs - 2 ? { input: i + 2, bodyInput: i + 2 } : {}),
      bodyOutput: i + 1,
      output: i,
    })),
  cost: views,
  iterations: ({ M }) => integersOf(M)?.[0],
  channels: "barrier",
});

/** Body: (states…, slices of the scan inputs…) → (states…, slices of the scan outputs…). */
export const scan = defineOp({
  type: "Scan",
  since: 9,
  inputs: ["...initial_state_and_scan_inputs"],
  outputs: ["...final_state_and_scan_outputs"],
  attributes: {
    body: attr.required.graph(),
    num_scan_inputs: attr.required.int(),
    scan_input_axes: attr.ints(),
    scan_input_directions: attr.ints(),
    scan_output_axes: attr.ints(),
    scan_output_directions: attr.ints(),
  },
  infer({ initial_state_and_scan_inputs: inputs }, call) {
    const { body, num_scan_inputs: scanned, scan_input_axes: inputAxes, scan_output_axes: outputAxes } = call.attributes;
    const states = inputs.length - scanned;
    if (states < 0) call.reject(`it scans ${scanned} inputs but has ${inputs.length}`);
    bodyOf(body, inputs.length, states, call);
    let length: Dim = "?";
    const slices = inputs.slice(states).map((info, i): Info => {
      if (!info?.shape) return info;
      const axis = axisIndex(inputAxes?.[i] ?? 0, info.shape.length, call.reject);
      if (length === "?") length = info.shape[axis] as Dim;
      return { dtype: info.dtype, shape: info.shape.filter((_, at) => at !== axis) };
    });
    const { carried, outputs } = settleCarried(inputs.slice(0, states), (state) => call.inferGraph(body, [...state, ...slices]));
    const stacked = outputs.slice(states).map((info, i) => {
      const axis = outputAxes?.[i] ?? 0;
      return withAxis(info, axis < 0 ? axis + (info?.shape?.length ?? 0) + 1 : axis, length);
    });
    return { final_state_and_scan_outputs: [...carried, ...stacked] };
  },
  bodyTies: ({ inputs, outputs, attributes }) => {
    const states = inputs - Number(attributes.num_scan_inputs);
    return [
      ...Array.from({ length: inputs }, (_, i) => ({
        input: i,
        bodyInput: i,
        ...(i < states ? { bodyOutput: i, output: i } : {}),
      })),
      ...Array.from({ length: outputs - states }, (_, i) => ({ bodyOutput: states + i, output: states + i })),
    ];
  },
  cost: views,
  iterations({ initial_state_and_scan_inputs: inputs }, { num_scan_inputs: scanned, scan_input_axes: axes }) {
    const shape = inputs[inputs.length - scanned]?.shape;
    const extent = shape?.at(axes?.[0] ?? 0);
    return typeof extent === "number" ? extent : undefined;
  },
  channels: "barrier",
});
