import { existsSync, readFileSync } from "node:fs";

/** This package's version: from the nearest package.json above this file, whether it runs from source or bundled. */
export function toolVersion(): string {
  for (let folder = new URL(".", import.meta.url); ; folder = new URL("..", folder)) {
    const file = new URL("package.json", folder);
    if (existsSync(file)) {
      const { name, version } = JSON.parse(readFileSync(file, "utf8")) as { name?: string; version?: string };
      if (name === "edgewright" && version) return version;
    }
    if (folder.pathname === "/") return "unknown";
  }
}
