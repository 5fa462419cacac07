import type { Node, Value } from "../../ir/index.ts";
import { producerOf, scalarOf } from "./facts.ts";

/** A tree of Mul (and Div by a scalar) as one scalar times the values that are multiplied. */
export interface Product {
  readonly scalar: number;
  readonly factors: readonly Value[];
}

/** Multiplies out a Mul or Div node; goes on through inner ones that nobody else reads. `Pow(x, n)` with n = 2, 3 counts as n factors. */
export function productOf(node: Node): Product {
  let scalar = 1;
  const factors: Value[] = [];
  const visit = (value: Value | undefined, root: boolean): void => {
    const constant = scalarOf(value);
    if (constant !== undefined) {
      scalar *= constant;
      return;
    }
    const inner = root || value?.soleConsumer ? producerOf(value, "Mul", "Div", "Pow") : undefined;
    if (!value || !inner || !open(inner)) {
      if (value) factors.push(value);
      return;
    }
    visit(inner.inputs[0], false);
    const right = inner.inputs[1];
    if (inner.opType === "Mul") visit(right, false);
    else if (inner.opType === "Div") scalar /= scalarOf(right) as number;
    else for (let n = scalarOf(right) as number; n > 1; n--) visit(inner.inputs[0], false);
  };
  visit(node.output, true);
  return { scalar, factors };
}

/** Whether a node can be multiplied out. */
function open(node: Node): boolean {
  if (node.opType === "Mul") return true;
  const right = scalarOf(node.inputs[1]);
  return node.opType === "Div" ? right !== undefined && right !== 0 : right === 2 || right === 3;
}

/** Takes one factor for which `pick` gives something out of a product of `count` factors. */
export function pickFactor<T>(
  product: Product,
  count: number,
  pick: (factor: Value) => T | undefined,
): { picked: T; rest: Value[] } | undefined {
  if (product.factors.length !== count) return undefined;
  for (const [i, factor] of product.factors.entries()) {
    const picked = pick(factor);
    if (picked !== undefined) return { picked, rest: product.factors.filter((_, j) => j !== i) };
  }
  return undefined;
}

/** For `value = term + constant` (either order): both parts. */
export function sumWithScalar(value: Value | undefined): { term: Value; scalar: number } | undefined {
  const add = producerOf(value, "Add");
  if (!add) return undefined;
  for (const [term, other] of [
    [add.inputs[0], add.inputs[1]],
    [add.inputs[1], add.inputs[0]],
  ]) {
    const scalar = scalarOf(other);
    if (term && scalar !== undefined && scalarOf(term) === undefined) return { term, scalar };
  }
  return undefined;
}
