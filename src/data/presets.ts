import type { Feature } from "./define.ts";
import type { PreprocessInput } from "./preprocess.ts";

export interface Preset {
  readonly summary: string;
  readonly feature: Feature["kind"];
  readonly preprocess: PreprocessInput;
}

const imagenetMean = [0.485, 0.456, 0.406];
const imagenetStd = [0.229, 0.224, 0.225];
/** The usual evaluation: short side 256 for a 224 input, in proportion for other sizes, then the centre. */
const shortSideAndCrop = { resize: { shortSide: { timesInput: 8 / 7 } }, crop: "input" } as const;
const stretch = { resize: { size: "input" } } as const;

const image = (summary: string, preprocess: PreprocessInput["image"]): Preset => ({
  summary,
  feature: "image",
  preprocess: { image: preprocess },
});

/** Named starting points for `preprocess`. Sizes come from the model's input, so one preset serves every resolution. */
export const presets: Readonly<Record<string, Preset>> = {
  imagenet: image("torchvision: short side 8/7 of the input, centre crop, RGB, ImageNet mean and std", {
    ...shortSideAndCrop,
    scale: 1 / 255,
    mean: imagenetMean,
    std: imagenetStd,
  }),
  "imagenet-inception": image("short side 8/7 of the input, centre crop, RGB in -1..1 (x/127.5 - 1)", {
    ...shortSideAndCrop,
    scale: 1 / 127.5,
    mean: 1,
  }),
  "imagenet-unit": image("short side 8/7 of the input, centre crop, RGB in 0..1", { ...shortSideAndCrop, scale: 1 / 255 }),
  "imagenet-raw-255": image("short side 8/7 of the input, centre crop, RGB in 0..255", { ...shortSideAndCrop }),
  "imagenet-stretch": image("stretched to the input, RGB, ImageNet mean and std", {
    ...stretch,
    scale: 1 / 255,
    mean: imagenetMean,
    std: imagenetStd,
  }),
  "caffe-bgr": image("short side 8/7 of the input, centre crop, BGR in 0..255 less the Caffe mean", {
    ...shortSideAndCrop,
    color: "bgr",
    mean: [103.939, 116.779, 123.68],
  }),
  clip: image("short side as the input, bicubic, centre crop, RGB, CLIP mean and std", {
    resize: { shortSide: { timesInput: 1 }, interpolation: "bicubic" },
    crop: "input",
    scale: 1 / 255,
    mean: [0.48145466, 0.4578275, 0.40821073],
    std: [0.26862954, 0.26130258, 0.27577711],
  }),
  "raw-255": image("stretched to the input, RGB in 0..255", { ...stretch }),
  unit: image("stretched to the input, RGB in 0..1", { ...stretch, scale: 1 / 255 }),
  symmetric: image("stretched to the input, RGB in -1..1 (x/127.5 - 1)", { ...stretch, scale: 1 / 127.5, mean: 1 }),
  "raw-255-bgr": image("stretched to the input, BGR in 0..255", { ...stretch, color: "bgr" }),
  ultraface: image("stretched to the input, RGB, (x - 127) / 128", { ...stretch, mean: 127, std: 128 }),
  yolox: image("letterbox at the top left, fill 114, BGR in 0..255", {
    letterbox: { position: "top-left", pad: 114 },
    color: "bgr",
  }),
  yolo: image("centred letterbox, fill 114, RGB in 0..1 (YOLOv5 and later)", {
    letterbox: { position: "center", pad: 114 },
    scale: 1 / 255,
  }),
  "cifar-imagenet-stats": image("as stored (stretched if needed), RGB, ImageNet mean and std", {
    ...stretch,
    scale: 1 / 255,
    mean: imagenetMean,
    std: imagenetStd,
  }),
  cifar: image("as stored (stretched if needed), RGB, CIFAR-10 mean and std", {
    ...stretch,
    scale: 1 / 255,
    mean: [0.4914, 0.4822, 0.4465],
    std: [0.247, 0.2435, 0.2616],
  }),
  "mnist-raw": image("grey in 0..255", { ...stretch, color: "gray" }),
  "mnist-unit": image("grey in 0..1", { ...stretch, color: "gray", scale: 1 / 255 }),
  mnist: image("grey, MNIST mean and std", { ...stretch, color: "gray", scale: 1 / 255, mean: 0.1307, std: 0.3081 }),
  "fashion-mnist": image("grey, Fashion-MNIST mean and std", {
    ...stretch,
    color: "gray",
    scale: 1 / 255,
    mean: 0.286,
    std: 0.353,
  }),
  "super-resolution-x2": image("luma in 0..1, input made by bicubic downscaling by 2", {
    color: "luma",
    scale: 1 / 255,
    downscale: { factor: 2 },
  }),
  "super-resolution-x3": image("luma in 0..1, input made by bicubic downscaling by 3", {
    color: "luma",
    scale: 1 / 255,
    downscale: { factor: 3 },
  }),
  "super-resolution-x4": image("luma in 0..1, input made by bicubic downscaling by 4", {
    color: "luma",
    scale: 1 / 255,
    downscale: { factor: 4 },
  }),
  words: {
    summary: "lower-cased white-space words by vocabulary line, after [CLS]",
    feature: "text",
    preprocess: { text: { tokenizer: "words", lowercase: true, cls: "[CLS]" } },
  },
  "words-plain": {
    summary: "white-space words by vocabulary line, nothing added",
    feature: "text",
    preprocess: { text: { tokenizer: "words" } },
  },
  tokenizer: {
    summary: "whatever tokenizer.json says",
    feature: "text",
    preprocess: { text: { tokenizer: "tokenizer" } },
  },
  tokens: { summary: "token numbers as stored", feature: "tokens", preprocess: { text: {} } },
  waveform: { summary: "samples in -1..1 at 16 kHz", feature: "waveform", preprocess: { audio: { feature: "waveform" } } },
  "log-power-20ms": {
    summary: "log10 power spectrum, 20 ms square-root Hann frames every 10 ms at 16 kHz (NSNet2)",
    feature: "waveform",
    preprocess: { audio: { feature: "log-power", frame: 320, hop: 160, window: "sqrt-hann", floor: 1e-12, log: "log10" } },
  },
  "log-mel": {
    summary: "40 log mel bands, 25 ms Hann frames every 10 ms at 16 kHz",
    feature: "waveform",
    preprocess: { audio: { feature: "log-mel", fftSize: 512 } },
  },
  "mfcc-keyword": {
    summary: "10 MFCC of 40 mel bands, 30 ms Hann frames every 20 ms at 16 kHz (MLPerf Tiny keyword spotting)",
    feature: "waveform",
    preprocess: {
      audio: { feature: "mfcc", frame: 480, hop: 320, fftSize: 512, mels: 40, coefficients: 10, lowHz: 20, highHz: 4000 },
    },
  },
  raw: { summary: "numbers as stored", feature: "tensor", preprocess: { tensor: {} } },
};
