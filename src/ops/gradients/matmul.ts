import type { Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

interface Product {
  readonly b: GraphBuilder;
  readonly x: Value;
  readonly w: Value;
  readonly dy: Value;
  readonly wantsX: boolean;
  readonly wantsW: boolean;
}
interface ProductGradient {
  readonly x: Value | undefined;
  readonly w: Value | undefined;
}

const rowsOf = (b: GraphBuilder, v: Value): number => b.size(v) / (b.shape(v).at(-1) as number);

/** By a plain matrix: everything flattens to two axes, and Gemm transposes for nothing. */
function byMatrix({ b, x, w, dy, wantsX, wantsW }: Product): ProductGradient {
  const [inner, columns] = b.shape(w) as [number, number];
  const rows = rowsOf(b, x);
  const flat = b.reshape(dy, [rows, columns]);
  return {
    x: wantsX ? b.reshape(b.op("Gemm", [flat, w], { transB: 1 }), b.shape(x)) : undefined,
    w: wantsW ? b.op("Gemm", [b.reshape(x, [rows, inner]), flat], { transA: 1 }) : undefined,
  };
}

/** MatMul of any ranks (numpy's rules): dX = dY·Wᵀ, dW = Xᵀ·dY, summed over broadcast batch axes. */
export function matMulGradient(call: Product): ProductGradient {
  const { b, x, w, dy, wantsX, wantsW } = call;
  const [left, right] = [b.shape(x), b.shape(w)];
  if (left.length === 1 || right.length === 1) {
    const asRow = left.length === 1 ? b.reshape(x, [1, ...left]) : x;
    const asColumn = right.length === 1 ? b.reshape(w, [...right, 1]) : w;
    const batch = b
      .shape(dy)
      .slice(0, b.rank(dy) - (left.length === 1 || right.length === 1 ? Number(left.length > 1) + Number(right.length > 1) : 2));
    const whole = b.reshape(dy, [...batch, b.shape(asRow).at(-2) as number, b.shape(asColumn).at(-1) as number]);
    const inner = matMulGradient({ ...call, x: asRow, w: asColumn, dy: whole });
    return { x: inner.x && b.reshape(inner.x, left), w: inner.w && b.reshape(inner.w, right) };
  }
  if (right.length === 2) return byMatrix(call);
  return {
    x: wantsX ? b.sumTo(b.matMul(dy, b.matrixTranspose(w)), left) : undefined,
    w: wantsW ? b.sumTo(b.matMul(b.matrixTranspose(x), dy), right) : undefined,
  };
}

interface Gemm extends Product {
  readonly transA: boolean;
  readonly transB: boolean;
  readonly alpha: number;
}

/** Y = α·A'·B': each gradient is one Gemm, whichever operands are transposed. */
export function gemmGradient({ b, x, w, dy, wantsX, wantsW, transA, transB, alpha }: Gemm): ProductGradient {
  const gemm = (a: Value, z: Value, ta: boolean, tz: boolean): Value =>
    b.op("Gemm", [a, z], { alpha, transA: Number(ta), transB: Number(tz) });
  return {
    x: wantsX ? (transA ? gemm(w, dy, transB, true) : gemm(dy, w, false, !transB)) : undefined,
    w: wantsW ? (transB ? gemm(dy, x, true, transA) : gemm(x, dy, !transA, false)) : undefined,
  };
}
