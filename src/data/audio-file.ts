import wavefile from "wavefile";
import { EdgewrightError } from "../util/errors.ts";
import type { Waveform } from "./define.ts";

const corrupt = (origin: string, cause: unknown): EdgewrightError =>
  new EdgewrightError("DATA_AUDIO", `"${origin}" is not a readable WAV file: ${(cause as Error).message.replace(/\.$/, "")}.`, {
    subject: origin,
    hint: 'Convert it to WAV, or open the data with onCorrupt: "skip" to leave such files out and count them.',
    cause,
  });

/** Stored codes → linear samples. */
function expand(wav: InstanceType<typeof wavefile.WaveFile>): void {
  if (wav.bitDepth === "8a") wav.fromALaw();
  else if (wav.bitDepth === "8m") wav.fromMuLaw();
  else if (wav.bitDepth === "4") wav.fromIMAADPCM();
  wav.toBitDepth("32f");
}

/** A WAV file of any bit depth as -1..1; several channels are averaged to one. `origin` names the file in errors. */
export function decodeWaveform(bytes: Uint8Array, origin: string): Waveform {
  try {
    const wav = new wavefile.WaveFile();
    wav.fromBuffer(bytes);
    const { sampleRate, numChannels } = wav.fmt as { sampleRate: number; numChannels: number };
    expand(wav);
    const interleaved = wav.getSamples(true, Float32Array) as unknown as Float32Array;
    if (!(sampleRate > 0) || !(numChannels > 0) || interleaved.length === 0) throw new Error("it holds no samples");
    return { samples: mono(interleaved, numChannels), sampleRate };
  } catch (cause) {
    throw corrupt(origin, cause);
  }
}

function mono(interleaved: Float32Array, channels: number): Float32Array {
  if (channels === 1) return interleaved;
  return Float32Array.from({ length: Math.floor(interleaved.length / channels) }, (_, i) => {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) sum += interleaved[i * channels + channel] as number;
    return sum / channels;
  });
}

/** Mono samples in -1..1 as a 16-bit WAV file (fixtures, results to listen to). */
export function encodeWaveform(waveform: Waveform): Uint8Array {
  const wav = new wavefile.WaveFile();
  const samples = Int16Array.from(waveform.samples, (value) => Math.round(Math.max(-1, Math.min(1, value)) * 32767));
  wav.fromScratch(1, waveform.sampleRate, "16", samples);
  return wav.toBuffer();
}
