import { windowOutput } from "../../../ops/window.ts";
import type { ProductForm, ProductRows } from "./product-form.ts";

interface Geometry {
  readonly spatial: readonly number[];
  readonly output: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begins: readonly number[];
}

const numel = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const reject = (reason: string): never => {
  throw new Error(reason);
};

/**
 * W [M, C/group, kernel…] as QLinearConv reads it: channels last, so that neighbours along a filter are channels of one kernel position
 * first and kernel positions second, and a pair may straddle two positions where C/group is odd. Filters of one input and one output
 * channel take the depthwise kernel.
 */
export function convolutionForm(attributes: Readonly<Record<string, unknown>>, weightShape: readonly number[]): ProductForm {
  const groups = Number(attributes.group ?? 1);
  const [filters, perGroup, ...kernel] = weightShape as [number, number, ...number[]];
  const taps = numel(kernel);
  const columns = filters / groups;
  let known: { key: string; geometry: Geometry; table: Int32Array } | undefined;
  return {
    groups,
    columns,
    depth: taps * perGroup,
    paired: perGroup !== 1 || columns !== 1,
    weightAt: (channel, k) => (channel * perGroup + (k % perGroup)) * taps + Math.floor(k / perGroup),
    rows: (x, shape, zeroPoint) => {
      const key = String(shape);
      if (known?.key !== key) {
        const geometry = geometryOf(attributes, shape.slice(2), kernel);
        known = { key, geometry, table: tapTable(geometry) };
      }
      return convolutionRows({ x: channelsLast(x, shape), shape, zeroPoint, perGroup, taps, filters, ...known });
    },
  };
}

function geometryOf(
  attributes: Readonly<Record<string, unknown>>,
  spatial: readonly number[],
  kernel: readonly number[],
): Geometry {
  const list = (name: string): readonly number[] | undefined => attributes[name] as readonly number[] | undefined;
  const ones = spatial.map(() => 1);
  const strides = list("strides") ?? ones;
  const dilations = list("dilations") ?? ones;
  const output = windowOutput(spatial, kernel, attributes as never, reject) as number[];
  const begins = spatial.map((extent, i) => {
    const same = /^SAME_(UPPER|LOWER)$/.exec(String(attributes.auto_pad ?? ""));
    if (!same) return attributes.auto_pad === "VALID" ? 0 : (list("pads")?.[i] ?? 0);
    const covered = ((kernel[i] as number) - 1) * (dilations[i] as number) + 1;
    const total = Math.max(0, ((output[i] as number) - 1) * (strides[i] as number) + covered - extent);
    return same[1] === "UPPER" ? Math.floor(total / 2) : Math.ceil(total / 2);
  });
  return { spatial, output, kernel, strides, dilations, begins };
}

/** Input position of every kernel tap at every output position, [positions][taps]; −1 in the padding. */
function tapTable({ spatial, output, kernel, strides, dilations, begins }: Geometry): Int32Array {
  const positions = numel(output);
  const taps = numel(kernel);
  const table = new Int32Array(positions * taps);
  for (let axis = 0, inner = 1, innerTaps = 1; axis < spatial.length; axis++) {
    const i = spatial.length - 1 - axis;
    const extent = spatial[i] as number;
    const step = numel(spatial.slice(i + 1));
    for (let at = 0; at < table.length; at++) {
      const position = Math.floor(Math.floor(at / taps) / inner) % (output[i] as number);
      const tap = Math.floor((at % taps) / innerTaps) % (kernel[i] as number);
      const coordinate = position * (strides[i] as number) + tap * (dilations[i] as number) - (begins[i] as number);
      if (coordinate < 0 || coordinate >= extent) table[at] = -1;
      else if ((table[at] as number) >= 0) table[at] = (table[at] as number) + coordinate * step;
    }
    inner *= output[i] as number;
    innerTaps *= kernel[i] as number;
  }
  return table;
}

/** [N, C, positions] → [N, positions, C]. */
function channelsLast(x: Uint8Array, shape: readonly number[]): Uint8Array {
  const [batch, channels] = shape as [number, number];
  const positions = numel(shape.slice(2));
  const result = new Uint8Array(x.length);
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < channels; c++) {
      const from = (n * channels + c) * positions;
      for (let p = 0, to = n * channels * positions + c; p < positions; p++, to += channels) result[to] = x[from + p] as number;
    }
  return result;
}

interface RowSource {
  readonly x: Uint8Array;
  readonly shape: readonly number[];
  readonly zeroPoint: number;
  readonly perGroup: number;
  readonly taps: number;
  readonly filters: number;
  readonly geometry: Geometry;
  readonly table: Int32Array;
}

function convolutionRows(source: RowSource): ProductRows {
  const { x, shape, zeroPoint, perGroup, taps, filters, geometry, table } = source;
  const [batch, channels] = shape as [number, number];
  const positions = numel(geometry.output);
  const inputs = numel(geometry.spatial);
  return {
    count: batch * positions,
    channelStep: positions,
    outputShape: [batch, filters, ...geometry.output],
    outputAt: (row) => Math.floor(row / positions) * filters * positions + (row % positions),
    fill: (group, start, end, into, stride) => {
      for (let row = start; row < end; row++) {
        const image = Math.floor(row / positions) * inputs;
        let to = (row - start) * stride;
        for (let tap = 0, at = (row % positions) * taps; tap < taps; tap++, at++) {
          const position = table[at] as number;
          // padding is the zero point, and takes part in sums of two like any other value
          if (position < 0) for (let c = 0; c < perGroup; c++) into[to++] = zeroPoint;
          else
            for (let c = 0, from = (image + position) * channels + group * perGroup; c < perGroup; c++)
              into[to++] = x[from++] as number;
        }
      }
    },
  };
}
