import type { Node } from "../ir/index.ts";
import type { Named, OpDef } from "./define.ts";
import { definitions } from "./registry.gen.ts";

const byName = new Map<string, OpDef[]>();
for (const def of definitions) {
  const key = `${def.domain}:${def.type}`;
  const versions = byName.get(key) ?? [];
  versions.push(def);
  versions.sort((a, b) => b.since - a.since);
  byName.set(key, versions);
}

export const allOps = (): readonly OpDef[] => definitions;

/** The record for a node under the model's opsets: the youngest that is not younger than the opset; undefined when unknown. */
export function lookupOp(node: Pick<Node, "domain" | "opType">, opsets: ReadonlyMap<string, number>): OpDef | undefined {
  const opset = opsets.get(node.domain) ?? 1;
  return byName.get(`${node.domain}:${node.opType}`)?.find((def) => def.since <= opset);
}

/** Positional ports to a record by name, as the op's lists say. */
export function namePorts<T>(ports: readonly string[], values: readonly (T | undefined)[]): Named<readonly string[], T> {
  const named: Record<string, unknown> = {};
  ports.forEach((port, i) => {
    if (port.startsWith("...")) named[port.slice(3)] = values.slice(i);
    else named[port.endsWith("?") ? port.slice(0, -1) : port] = values[i];
  });
  return named as Named<readonly string[], T>;
}

/** Index of a named port; for a variadic port, of its first member. */
export const portIndex = (ports: readonly string[], name: string): number =>
  ports.findIndex((port) => port === name || port === `${name}?` || port === `...${name}`);
