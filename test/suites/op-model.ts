import {
  type Attribute,
  type AttributeInput,
  type Dim,
  Graph,
  Model,
  type Tensor,
  type TensorType,
  toAttribute,
} from "../../src/ir/index.ts";
import { lookupOp, type OpDef } from "../../src/ops/index.ts";
import { caseTensors, type OpCase, type OpCases } from "../cases/define.ts";

export const opsetsOf = (cases: OpCases, one: OpCase): Map<string, number> => {
  const opset = one.opset ?? cases.opset;
  return cases.domain
    ? new Map([
        ["", 21],
        [cases.domain, opset],
      ])
    : new Map([["", opset]]);
};

export function recordOf(cases: OpCases, one: OpCase): OpDef {
  const op = lookupOp({ domain: cases.domain, opType: cases.type }, opsetsOf(cases, one));
  if (!op) throw new Error(`there is no record for ${cases.domain}:${cases.type} at this opset`);
  return op;
}

/** Plain numbers as the record declares them: 1 is a float where the attribute is one. */
export function typedAttribute(op: OpDef, name: string, input: AttributeInput): Attribute {
  const declared = op.attributes[name]?.type;
  if (declared === "float" && typeof input === "number") return { type: "float", value: input };
  if (declared === "floats" && Array.isArray(input)) return { type: "floats", value: input as number[] };
  return toAttribute(input);
}

export interface OpModel {
  readonly model: Model;
  readonly feeds: Readonly<Record<string, Tensor>>;
}

/** What differs from the case as written: other tensors (by input position) or attributes. */
export interface CaseChange {
  readonly tensors?: readonly (Tensor | undefined)[];
  /** undefined takes the attribute away. */
  readonly attributes?: Readonly<Record<string, AttributeInput | undefined>>;
}

/** A model of one node. `declare` gives the type that a fed input is declared with; default: its own. */
export function opModel(
  cases: OpCases,
  index: number,
  declare: (tensor: Tensor) => TensorType = ({ dtype, shape }) => ({ dtype, shape }),
  change: CaseChange = {},
): OpModel {
  const one = cases.cases[index] as OpCase;
  const op = recordOf(cases, one);
  const tensors = change.tensors ?? caseTensors(cases, index);
  const graph = new Graph("case");
  const feeds: Record<string, Tensor> = {};
  const inputs = tensors.map((tensor, i) => {
    if (!tensor) return undefined;
    if (one.inputs[i]?.constant) return graph.addInitializer(`c${i}`, tensor);
    feeds[`x${i}`] = tensor;
    return graph.addInput(`x${i}`, declare(tensor));
  });
  const attributes = { ...one.attributes, ...change.attributes };
  const node = graph.node(cases.type, inputs, {
    domain: cases.domain,
    name: "node",
    outputs: wantedOutputs(one).map((wanted, i) => (wanted ? `y${i}` : "")),
    attributes: Object.fromEntries(
      Object.entries(attributes).flatMap(([name, value]) =>
        value === undefined ? [] : [[name, typedAttribute(op, name, value)]],
      ),
    ),
  });
  for (const value of node.outputs) if (value.name) graph.addOutput(value);
  return { model: new Model({ graph, opsets: opsetsOf(cases, one) }), feeds };
}

export const wantedOutputs = ({ outputs = 1 }: OpCase): readonly boolean[] =>
  typeof outputs === "number" ? new Array<boolean>(outputs).fill(true) : outputs;

/** Extents above 1 become symbols; equal extents the same one, so that a substitution by value gives every shape back. */
export const symbolic = ({ dtype, shape }: Tensor): TensorType => ({
  dtype,
  shape: shape.map((dim): Dim => (dim > 1 ? `d${dim}` : dim)),
});
