import type { EntryProto, OperatorSetProto } from "./protos.ts";

/** Key-value pairs (metadata_props) as a map; the last of equal keys wins. */
export const mapOf = (entries: readonly EntryProto[]): Map<string, string> =>
  new Map(entries.map((entry) => [entry.key ?? "", entry.value ?? ""]));

export const entriesOf = (map: ReadonlyMap<string, string>): EntryProto[] => Array.from(map, ([key, value]) => ({ key, value }));

/** ONNX's standard domain has two spellings; the IR knows "" only. */
export const normalDomain = (domain: string | undefined): string => (domain === "ai.onnx" ? "" : (domain ?? ""));

export const opsetsOf = (imports: readonly OperatorSetProto[]): Map<string, number> =>
  new Map(imports.map(({ domain, version }) => [normalDomain(domain), version ?? 1]));

export const importsOf = (opsets: ReadonlyMap<string, number>): OperatorSetProto[] =>
  Array.from(opsets, ([domain, version]) => ({ domain, version }));
