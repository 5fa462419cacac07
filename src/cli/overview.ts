import type { Verb } from "./verbs.ts";

/** The text of `edgewright --help`: written by hand, since loading the option parser for it would double the start-up time. */
export function overview(version: string, verbs: Readonly<Record<string, Verb>>): string {
  const width = Math.max(0, ...Object.keys(verbs).map((name) => name.length));
  const list = Object.entries(verbs).map(([name, verb]) => `  ${name.padEnd(width)}  ${verb.summary}`);
  return `edgewright ${version}: make a trained model small and fast enough for its device, and prove it by measurement

Usage: edgewright VERB [arguments] [options]

${list.join("\n")}

Every verb has --help, with an example, and --json, which prints one JSON document on stdout.

  edgewright optimize model.onnx --data photos --max-drop 1 --out out

Options: --help, --version
Exit codes: 0 done, 1 user error, 2 budget not met (the best result is written), 70 our bug
`;
}
