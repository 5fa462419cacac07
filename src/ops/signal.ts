import { addDims, type Dim, floorDivDims, numel, subDims } from "../ir/index.ts";
import { attr } from "./attributes.ts";
import { input, link, output, sameAxes } from "./channel-links.ts";
import { barrier, defineOp } from "./define.ts";
import { typeOfCode } from "./random.ts";
import { axisIndex, elementsOf, integersOf, like } from "./type-rules.ts";

/** Half of a real signal's spectrum mirrors the other: n/2 + 1 bins say it all. */
const bins = (length: Dim, onesided: number): Dim => (onesided ? addDims(floorDivDims(length, 2), 1) : length);
/** Five operations for each of the log2 n butterfly levels of a complex FFT (Cooley and Tukey's count). */
const fftFlops = (transforms: number, length: number): number =>
  transforms * 5 * length * Math.ceil(Math.log2(Math.max(length, 2)));

const window = (type: string) =>
  defineOp({
    type,
    since: 17,
    inputs: ["size"],
    outputs: ["output"],
    attributes: { output_datatype: attr.int(1), periodic: attr.int(1) },
    infer: ({ size }, call) => ({
      output: { dtype: typeOfCode(call.attributes.output_datatype, call), shape: [elementsOf(size)?.[0] ?? "?"] },
    }),
    cost: (_, { output }) => ({ macs: 0, flops: 20 * numel(output.shape) }),
    channels: barrier,
    gradient: "none",
  });

export const windows = [window("BlackmanWindow"), window("HannWindow"), window("HammingWindow")];

export const dft = defineOp({
  type: "DFT",
  since: 20,
  inputs: ["input", "dft_length?", "axis?"],
  outputs: ["output"],
  attributes: { inverse: attr.int(0), onesided: attr.int(0) },
  infer: ({ input, dft_length, axis }, { attributes, reject }) => {
    const { shape } = input;
    const along = axis ? integersOf(axis)?.[0] : -2;
    if (!shape) return { output: like(input) };
    if (along === undefined)
      return {
        output: like(
          input,
          shape.map((_, i) => (i === shape.length - 1 ? 2 : "?")),
        ),
      };
    const at = axisIndex(along, shape.length, reject);
    const length = dft_length ? (elementsOf(dft_length)?.[0] ?? "?") : (shape[at] as Dim);
    const spectrum = bins(length, attributes.onesided);
    return {
      output: like(
        input,
        shape.map((dim, i) => (i === at ? spectrum : i === shape.length - 1 ? 2 : dim)),
      ),
    };
  },
  cost: (_, { output }) => ({ macs: 0, flops: fftFlops(1, numel(output.shape) / 2) }),
  channels: barrier, // which axis is transformed is an input
});

export const stft = defineOp({
  type: "STFT",
  since: 17,
  inputs: ["signal", "frame_step", "window?", "frame_length?"],
  outputs: ["output"],
  attributes: { onesided: attr.int(1) },
  infer: ({ signal, frame_step, window, frame_length }, { attributes }) => {
    const length = frame_length ? (elementsOf(frame_length)?.[0] ?? "?") : (window?.shape?.[0] ?? "?");
    const step = elementsOf(frame_step)?.[0] ?? "?";
    const frames = addDims(floorDivDims(subDims(signal.shape?.[1] ?? "?", length), step), 1);
    return { output: like(signal, [signal.shape?.[0] ?? "?", frames, bins(length, attributes.onesided), 2]) };
  },
  cost: (_, { output }) => {
    const [batch = 0, frames = 0, spectrum = 0] = output.shape;
    return { macs: 0, flops: fftFlops(batch * frames, 2 * spectrum) };
  },
  channels: () => [link(input(0, 0), output(0, 0))],
});

export const melWeightMatrix = defineOp({
  type: "MelWeightMatrix",
  since: 17,
  inputs: ["num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz"],
  outputs: ["output"],
  attributes: { output_datatype: attr.int(1) },
  infer: ({ num_mel_bins, dft_length }, call) => ({
    output: {
      dtype: typeOfCode(call.attributes.output_datatype, call),
      shape: [bins(elementsOf(dft_length)?.[0] ?? "?", 1), elementsOf(num_mel_bins)?.[0] ?? "?"],
    },
  }),
  channels: barrier,
  gradient: "none",
});

export const det = defineOp({
  type: "Det",
  since: 11,
  inputs: ["X"],
  outputs: ["Y"],
  infer: ({ X }) => ({ Y: like(X, X.shape?.slice(0, -2)) }),
  // LU decomposition
  cost: ({ X }) => {
    const n = X.shape.at(-1) ?? 1;
    return { macs: 0, flops: Math.round((2 / 3) * numel(X.shape) * n) };
  },
  channels: ({ inputShapes }) => {
    const rank = inputShapes[0]?.length ?? 0;
    return sameAxes(rank, (axis) => axis >= rank - 2);
  },
});
