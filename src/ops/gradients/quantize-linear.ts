import { bitsOf, type Value } from "../../ir/index.ts";
import type { GraphBuilder } from "../builder.ts";

interface Scaled {
  readonly scale: Value;
  readonly zeroPoint: Value | undefined;
  readonly dy: Value;
  readonly attributes: { readonly axis: number; readonly block_size: number };
}

/** Scale or zero point, shaped to broadcast against x: per tensor, per entry of `axis`, or repeated over blocks of it. */
function spread(b: GraphBuilder, parameter: Value, shape: readonly number[], { axis, block_size }: Scaled["attributes"]): Value {
  const own = b.shape(parameter);
  const at = axis < 0 ? axis + shape.length : axis;
  if (b.size(parameter) === 1) return b.reshape(parameter, []);
  if (own.length === 1)
    return b.reshape(
      parameter,
      shape.map((dim, i) => (i === at ? dim : 1)),
    );
  const blocks = own[at] as number;
  const split = [...own.slice(0, at + 1), 1, ...own.slice(at + 1)];
  const wide = [...own.slice(0, at), blocks, block_size, ...own.slice(at + 1)];
  const all = b.reshape(b.expand(b.reshape(parameter, split), wide), [
    ...own.slice(0, at),
    blocks * block_size,
    ...own.slice(at + 1),
  ]);
  return b.slice(all, at, 0, shape[at] as number);
}

/** A gradient of x's shape, summed to the scale's. */
function gathered(b: GraphBuilder, gradient: Value, scale: Value, { axis, block_size }: Scaled["attributes"]): Value {
  const shape = b.shape(gradient);
  const own = b.shape(scale);
  const at = axis < 0 ? axis + shape.length : axis;
  if (b.size(scale) === 1) return b.reshape(b.reduceSum(gradient), own);
  if (own.length === 1)
    return b.reshape(
      b.reduceSum(
        gradient,
        shape.flatMap((_, i) => (i === at ? [] : [i])),
      ),
      own,
    );
  const missing = (own[at] as number) * block_size - (shape[at] as number);
  const rank = shape.length;
  const pads = new Array<number>(2 * rank).fill(0);
  pads[at + rank] = missing;
  const whole = missing > 0 ? b.op("Pad", [gradient, b.ints(pads)]) : gradient;
  const split = [...shape.slice(0, at), own[at] as number, block_size, ...shape.slice(at + 1)];
  return b.reduceSum(b.reshape(whole, split), [at + 1], false);
}

const limits = (dtype: string): readonly [number, number] => {
  const bits = bitsOf(dtype as "int8");
  return dtype.startsWith("u") ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
};

/**
 * Straight through (Bengio et al., 2013): rounding counts as the identity, so dy, which is in the units of the real values, passes where x
 * lies in the representable range and stops outside. By the scale s: −x/s inside the range, nothing outside, so that together with the
 * DequantizeLinear that follows it comes to (round(x/s) − x/s) inside and the limit outside (Esser et al., "Learned Step Size
 * Quantization", 2020).
 */
export function quantizeGradient(
  b: GraphBuilder,
  call: Scaled & { readonly x: Value; readonly y: Value; readonly wantsScale: boolean },
) {
  const { x, y, dy, attributes } = call;
  const shape = b.shape(x);
  const scale = spread(b, call.scale, shape, attributes);
  const [low, high] = limits(b.dtype(y));
  const shift = call.zeroPoint ? spread(b, b.cast(call.zeroPoint, "float32"), shape, attributes) : b.scalar(0);
  const steps = b.div(x, scale);
  // half a step beyond the ends still rounds into the range
  const above = b.positive(b.sub(steps, b.sub(low - 0.5, shift)));
  const below = b.positive(b.sub(b.sub(high + 0.5, shift), steps));
  const inside = b.mul(dy, b.mul(above, below));
  return { x: inside, y_scale: call.wantsScale ? gathered(b, b.neg(b.mul(inside, steps)), call.scale, attributes) : undefined };
}

/** y = (x − zero point)·scale. */
export function dequantizeScaleGradient(
  b: GraphBuilder,
  { x, scale, zeroPoint, dy, attributes }: Scaled & { readonly x: Value },
): Value {
  const integers = b.cast(x, "float32");
  const shifted = zeroPoint ? b.sub(integers, spread(b, b.cast(zeroPoint, "float32"), b.shape(x), attributes)) : integers;
  return gathered(b, b.mul(dy, shifted), scale, attributes);
}
