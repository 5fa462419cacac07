import { expect } from "vitest";
import { testDataset } from "../../../test/suites/dataset.ts";
import { floatInput, writeFiles } from "../../../test/suites/dataset-fixtures.ts";
import { toFloat32 } from "../../ir/index.ts";
import { encodeWaveform } from "../audio-file.ts";

const sampleRate = 16_000;
const tone = (hz: number, seconds = 0.1): Uint8Array =>
  encodeWaveform({
    sampleRate,
    samples: Float32Array.from({ length: seconds * sampleRate }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hz * i) / sampleRate)),
  });
/** 0.1 s in frames of 400 every 160. */
const frames = 8;

testDataset({
  kind: "audio",
  title: "class folders",
  build: async (folder) => {
    await writeFiles(folder, { "high/a.wav": tone(2000), "high/b.wav": tone(2500), "low/c.wav": tone(200) });
    return { path: folder };
  },
  length: 3,
  features: ["audio"],
  label: "class",
  classes: ["high", "low"],
  targets: [0, 0, 1],
  inputs: [floatInput("N", frames, 40)],
  preprocess: "log-mel",
  broken: [
    {
      title: "a recording that is no WAV file",
      build: async (folder) => {
        await writeFiles(folder, { "a/good.wav": tone(300), "b/bad.wav": "RIFF but not really" });
        return { path: folder };
      },
      code: "DATA_AUDIO",
      names: "bad.wav",
      skippable: true,
    },
    {
      title: "a recording of another rate",
      build: async (folder) => {
        await writeFiles(folder, { "a/slow.wav": encodeWaveform({ sampleRate: 8000, samples: new Float32Array(800) }) });
        return { path: folder };
      },
      code: "PREPROCESS_RATE",
      names: "8000 samples a second",
    },
    {
      title: "a recording shorter than a frame",
      build: async (folder) => {
        await writeFiles(folder, { "a/short.wav": tone(300, 0.01) });
        return { path: folder };
      },
      code: "PREPROCESS_SIZE",
      names: "short.wav",
    },
  ],
  real: {
    path: ["audio"],
    options: { first: 20 },
    length: 1,
    inputs: [floatInput("N", "T", 161)],
    preprocess: "log-power-20ms",
    take: 1,
    check([sample]) {
      expect(sample?.feeds.input?.shape).toEqual([1, 1999, 161]);
      // the floor is 1e-12, so log10 cannot fall below -12; speech in -1..1 over 320 samples stays below 10^4
      expect(toFloat32(sample?.feeds.input as never).every((value) => value >= -12 && value < 4)).toBe(true);
    },
  },
});

testDataset({
  kind: "audio",
  title: "one recording in pieces",
  build: async (folder) => {
    await writeFiles(folder, { "long.wav": tone(440, 0.35) });
    return { path: `${folder}/long.wav`, options: { seconds: 0.1 } };
  },
  length: 3,
  features: ["audio"],
  label: undefined,
  inputs: [floatInput(1, 1, 1600)],
  preprocess: "waveform",
  firstValues: { input: [0] },
  broken: [
    {
      title: "pieces longer than the recording",
      build: async (folder) => {
        await writeFiles(folder, { "long.wav": tone(440, 0.35) });
        return { path: `${folder}/long.wav`, options: { seconds: 2 } };
      },
      code: "DATA_EMPTY",
      names: "lasts 2 seconds",
    },
  ],
});
